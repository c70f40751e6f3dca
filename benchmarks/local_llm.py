"""The local backend against plain transformers, on the same prompts in the same run.

    python -m benchmarks.local_llm [--prompts 16]

Generation: 4 draws for each prompt of `fret-code`, 24 tokens each, against `model.generate` with a batch
of 16. Scoring: one query for each prompt of `query-likelihood-code`, and twenty for some, against a
forward pass for each. Passages are functions of the standard library. The last line is JSON: our rates
and the ratios.
"""

from __future__ import annotations

import argparse
import inspect
import json
import textwrap
import time
from collections.abc import Callable
from typing import Any

from curate.llm.base import Generate, Sampling, Score
from curate.llm.local import LocalModel
from curate.llm.packaged import checkpoint
from curate.llm.prompts import Prompt

_DRAWS, _TOKENS, _QUERIES = 4, 24, 20
_QUERY = " Return the {} of the given object"


def passages(count: int) -> list[str]:
    """Return the sources of functions of `textwrap`, `inspect` and `json`, without docstrings."""
    import ast

    found = []
    for module in (inspect, textwrap, argparse, json):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
                text = ast.unparse(node)
                if 200 <= len(text) <= 900:
                    found.append(text)
    return found[:count]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `work` gives, and the seconds that it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=16)
    texts = passages(parser.parse_args().prompts)
    fret, likelihood = Prompt.load("fret-code"), Prompt.load("query-likelihood-code")
    asked = [fret.render(passage=text, name="function") for text in texts]
    scored = [likelihood.render(passage=text) for text in texts]
    sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=_TOKENS)

    ours = LocalModel.load("smollm2", batch=64)
    requests = [Generate(prompt, sampling, seed=n) for prompt in asked for n in range(_DRAWS)]
    answers, seconds = timed(lambda: dict(ours.generate(requests)))
    rates = {"generate_tokens_s": sum(a.completion_tokens for a in answers.values()) / seconds}
    singles = [Score(prompt, _QUERY.format("name")) for prompt in scored]
    _, seconds = timed(lambda: dict(ours.score(singles)))
    rates["score_pairs_s"] = len(singles) / seconds
    many = [Score(p, _QUERY.format(n)) for p in scored[:4] for n in range(_QUERIES)]
    _, seconds = timed(lambda: dict(ours.score(many)))
    rates["score_shared_pairs_s"] = len(many) / seconds
    plain = plain_rates(asked[:4], scored[:8])
    ratios = {f"ratio_{name}": rates[name] / plain[name] for name in plain}
    for name, value in (rates | ratios).items():
        print(f"{name}: {value:.2f}")
    print(json.dumps({name: round(value, 3) for name, value in (rates | ratios).items()}))


def plain_rates(asked: list[str], scored: list[str]) -> dict[str, float]:
    """Measure `model.generate` and single forward passes in the precision that we use."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from curate.encode.neighbours import fast_bfloat16

    folder = checkpoint("smollm2")
    dtype = torch.bfloat16 if fast_bfloat16() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    batch = tokenizer([p for p in asked for _ in range(_DRAWS)], padding=True, return_tensors="pt")
    options = {"do_sample": True, "temperature": 0.7, "top_p": 0.95, "eos_token_id": -1}
    with torch.inference_mode():
        _, seconds = timed(lambda: model.generate(**batch, max_new_tokens=_TOKENS, **options))
        rates = {"generate_tokens_s": len(batch.input_ids) * _TOKENS / seconds}
        query = tokenizer(_QUERY.format("name")).input_ids
        rows = [torch.tensor([tokenizer(prompt).input_ids + query]) for prompt in scored]
        keep = len(query) + 1
        _, seconds = timed(lambda: [model(row, logits_to_keep=keep) for row in rows])
        rates["score_pairs_s"] = len(rows) / seconds
    return rates


if __name__ == "__main__":
    main()
