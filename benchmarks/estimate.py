"""What `curate plan` expects of a stage that asks a language model, against what the run then uses.

    python -m benchmarks.estimate [--count 120] [--probe 40] [--model NAME] [--url URL]

FRet over functions of packages, then query likelihood and relevance of what it wrote, with the model in
this process or, with `--url`, on a server (which is not asked to score: most cannot). Each stage is
planned when its input is there, with a probe; then the recipe runs up to it. What the probe asked is in
neither number. The last line is JSON: the largest share by which tokens of prompts and of completions
were missed, `prompt_error` and `completion_error`, and `cost_error` at a price of 1 and 4 USD.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from curate.engine.local import plan, run
from curate.llm.prices import Price
from curate.recipe import Recipe

_FRET = """
stages:
  code:     {harvest.python: {packages: [tqdm, click, jinja2], stdlib: false, topics: false,
             summaries: false}}
  some:     {sample: {from: code.passages, count: COUNT}}
  written:  {synthesize.fret: {max_chars: 900, candidates: 2,
             sampling: {temperature: 0.7, top_p: 0.95, max_tokens: 64}}}
"""
_SCORED = """
  likely:   {filter.likelihood: {margin: -10}}
  near:     {mine.retrieve: {encoder: null, lexical: bm25, corpus: code.passages, top: 3}}
  graded:   {mine.rerank: {corpus: code.passages, max_chars: 500}}
"""
_PRICE = Price(prompt=1, completion=4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=120, help="passages")
    parser.add_argument("--probe", type=int, default=40, help="requests asked for the estimate")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--url", help="of an OpenAI-compatible server")
    given = parser.parse_args()
    llm: dict[str, Any] = {"model": given.model}
    if given.url:
        llm |= {"backend": "openai", "url": given.url}
    text = _FRET if given.url else _FRET + _SCORED
    text = f"llm: {json.dumps(llm)}\n{text.replace('COUNT', str(given.count))}"
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(text, Path(folder), given.probe)))


def measure(text: str, output: Path, probe: int) -> dict[str, float]:
    """Plan and run stage after stage; return the largest errors."""
    whole = Recipe.parse(text)
    worst = {"prompt_error": 0.0, "completion_error": 0.0, "cost_error": 0.0}
    names = [name for name, node in whole.nodes.items() if hasattr(node.stage, "llm")]
    for name in names:
        _until(text, name, inclusive=False, output=output)
        upto = _cut(text, name, inclusive=True)
        expected = plan(upto, output, probe=probe)[-1].asks
        assert expected is not None
        used = run(upto, output, workers=1).stage_rows()[-1]["llm"]
        takes = expected.takes
        guess = (takes.prompt_tokens, sum(takes.completion_tokens) / 2)
        real = (used["prompt_tokens"], used["completion_tokens"])
        print(
            f"{name}: expected {takes.calls:,.0f} calls, {guess[0]:,.0f} + {guess[1]:,.0f} tokens"
        )
        print(f"{name}: used     {used['asked']:,} calls, {real[0]:,} + {real[1]:,} tokens")
        took = used["seconds"]
        print(f"{name}: expected {takes.seconds or 0:.0f} s, took {took:.0f} s")
        errors = (*map(_error, guess, real), _error(_PRICE.cost(*guess), _PRICE.cost(*real)))
        worst = {key: max(old, new) for (key, old), new in zip(worst.items(), errors, strict=True)}
    return {key: round(value, 4) for key, value in worst.items()}


def _error(guess: float, real: float) -> float:
    return abs(guess - real) / real if real else 0.0


def _until(text: str, name: str, *, inclusive: bool, output: Path) -> None:
    """Run what comes before a stage."""
    run(_cut(text, name, inclusive=inclusive), output, workers=1)


def _cut(text: str, name: str, *, inclusive: bool) -> Recipe:
    """Return the recipe up to a stage."""
    import yaml

    document = yaml.safe_load(text)
    names = list(document["stages"])
    end = names.index(name) + inclusive
    document["stages"] = {key: document["stages"][key] for key in names[:end]}
    return Recipe.parse(yaml.safe_dump(document, sort_keys=False))


if __name__ == "__main__":
    main()
