from pathlib import Path

import pytest

from curate import Recipe
from curate.schema import Doc, Pair, to_table
from curate.shards import Manifest, Side, write_manifest, write_shard

HOSTILE = "Open [bold]the[/bold] \x1b[31mred\x1b[0m \x1b]0;title\x07window | <b>now</b> \u202e`x`"


def write_pairs(folder: Path, pairs: list[Pair]) -> Path:
    """Write pairs as a folder of two shards with a manifest."""
    folder.mkdir(parents=True)
    half = len(pairs) // 2
    shards = [
        write_shard(folder, f"p-{number}.arrow", to_table(some, "pairs"))
        for number, some in enumerate((pairs[:half], pairs[half:]))
    ]
    write_manifest(folder, Manifest({"main": Side("pairs", shards)}))
    return folder


def make_pair(number: int, query: str | None = None, **fields) -> Pair:
    text = f"def function_{number}(first, second):\n    return first + second + {number}\n"
    return Pair(
        kind="docstring-code",
        query=query or f"Return the sum of two numbers and {number}",
        positives=[Doc(text)],
        negatives=[Doc(f"def other_{number}(): ...")],
        source="made",
        group=f"group-{number % 2}",
        meta=f'{{"path": "sum.py", "line": {number}}}',
        **fields,
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A run over pairs with hostile text, a parent, a copy, and two that are dropped."""
    folder = tmp_path_factory.mktemp("made")
    pairs = [make_pair(number) for number in range(20)]
    pairs += [pairs[3], make_pair(30, query=HOSTILE), make_pair(40, query="Sum")]
    pairs.append(make_pair(50, parents=[pairs[7].id, "f" * 32]))
    source = write_pairs(folder / "pairs", pairs)
    recipe = Recipe.parse(
        f"""
        stages:
          read:  {{harvest.shards: {{path: "{source}"}}}}
          clean: {{filter.rules: {{max_symbol_ratio: null}}}}
          exact: {{dedup.exact: {{}}}}
          out:   {{shards: {{by: kind}}}}
        """,
        name="made",
    )
    return recipe.run(folder / "output", workers=1), pairs
