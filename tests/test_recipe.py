"""Recipes: what is read, what is refused and where, and that YAML and Python give the same keys."""

import textwrap

import pytest

from curate.engine.local import plan
from curate.errors import RecipeError
from curate.llm.prompts import FOLDER
from curate.mine.select import SelectNegatives
from curate.recipe import Recipe
from curate.registry import registry

PYTHON = "{harvest.python: {packages: [click], stdlib: false, topics: false}}"


def parse(text, *overrides):
    return Recipe.parse(textwrap.dedent(text).strip("\n"), "r", overrides, file="r.yaml")


def problems(text, *overrides):
    with pytest.raises(RecipeError) as caught:
        parse(text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def stage(recipe, name):
    return recipe.nodes[name].stage


# -- what is read ----------------------------------------------------------------------------------


def test_words_of_yaml_1_1_are_words():
    recipe = parse(f"""
        stages:
          code: {PYTHON}
          exact: {{dedup.exact: {{on: query}}}}
          no: {{filter.rules: {{deny_query: [yes, off, y]}}}}
    """)
    assert stage(recipe, "exact").on == "query"
    assert stage(recipe, "no").deny_query == ["yes", "off", "y"]


def test_a_stage_takes_the_one_above_unless_it_says_otherwise():
    recipe = parse(f"""
        stages:
          code: {PYTHON}
          clean: filter.rules
          again: {{filter.rules: {{from: code}}}}
          both: {{filter.rules: {{from: [code, clean]}}}}
          parts: {{split: {{held_out: 0.1}}}}
          held: {{filter.rules: {{from: parts.held_out}}}}
          corpus: {{dedup.exact: {{from: code.passages}}}}
    """)
    inputs = {name: [str(r) for r in node.main] for name, node in recipe.nodes.items()}
    assert inputs == {
        "code": [],
        "clean": ["code"],
        "again": ["code"],
        "both": ["code", "clean"],
        "parts": ["both"],
        "held": ["parts.held_out"],
        "corpus": ["code.passages"],
    }
    kinds = {name: node.kinds for name, node in recipe.nodes.items()}
    assert kinds["parts"] == {"main": "pairs", "held_out": "pairs"}
    assert kinds["corpus"] == {"main": "passages"}


def test_parameters_keep_their_type_whole_and_are_text_within():
    recipe = parse(f"""
        params: {{k: 30, share: 0.5, words: [a, b], word: ab}}
        stages:
          code: {PYTHON}
          clean:
            filter.rules: {{min_query_chars: "${{k}}", max_digit_ratio: "${{share}}",
                            deny_query: "${{words}}", min_score: {{q: "${{share}}"}}}}
          other: {{filter.rules: {{deny_query: ["^${{word}}-${{k}}$", "${{word}}"]}}}}
    """)
    clean = stage(recipe, "clean")
    assert (clean.min_query_chars, clean.max_digit_ratio) == (30, 0.5)
    assert (clean.deny_query, clean.min_score) == (["a", "b"], {"q": 0.5})
    assert stage(recipe, "other").deny_query == ["^ab-30$", "ab"]
    assert recipe.params == {"k": 30, "share": 0.5, "words": ["a", "b"], "word": "ab"}


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("params.k=7", "min_query_chars", 7),
        ("clean.max_query_chars=99", "max_query_chars", 99),
        ("clean.max_query_chars=null", "max_query_chars", None),
        ("clean.deny_query=[a, 'b=c']", "deny_query", ["a", "b=c"]),
        ("clean.min_score.rank=2", "min_score", {"q": 1.0, "rank": 2.0}),
    ],
)
def test_overrides(override, field, value):
    recipe = parse(
        f"""
        params: {{k: 5}}
        stages:
          code: {PYTHON}
          clean: {{filter.rules: {{min_query_chars: "${{k}}", min_score: {{q: 1}}}}}}
        """,
        override,
    )
    assert getattr(stage(recipe, "clean"), field) == value


def test_stages_that_ask_share_the_section_llm_unless_they_have_their_own():
    text = f"""
        llm: {{batch: 8}}
        stages:
          code: {PYTHON}
          a: {{mine.rerank: {{}}}}
          b: {{mine.rerank: {{llm: {{model: theirs/own}}}}}}
    """
    recipe = parse(text, "llm.model=owner/name")
    assert (stage(recipe, "a").llm.model, stage(recipe, "a").llm.batch) == ("owner/name", 8)
    assert (stage(recipe, "b").llm.model, stage(recipe, "b").llm.batch) == ("theirs/own", 64)
    bare = text.replace("llm: {batch: 8}", "")
    assert stage(parse(bare, "llm.model=owner/name"), "a").llm.model == "owner/name"


def test_an_override_reaches_a_stage_written_short():
    recipe = parse(f"stages:\n  code: {PYTHON}\n  clean: filter.rules", "clean.min_query_chars=3")
    assert stage(recipe, "clean").min_query_chars == 3


def test_a_folder_may_stand_for_a_model(tmp_path):
    text = f"""
        stages:
          code: {PYTHON}
          found: {{mine.retrieve: {{encoder: {tmp_path}}}}}
    """
    (reference,) = parse(text).nodes["found"].refs["encoder"]
    assert reference.path == tmp_path.resolve()


# -- what is refused -------------------------------------------------------------------------------

REFUSED = {
    "misspelt setting": (
        f"stages:\n  code: {PYTHON}\n  clean:\n    filter.rules:\n      min_query_char: 3",
        "r.yaml:5: stage clean (filter.rules), min_query_char: no such setting; did you mean "
        "'min_query_chars'?",
    ),
    "wrong type": (
        f"stages:\n  code: {PYTHON}\n  clean:\n    filter.rules: {{min_query_chars: many}}",
        "r.yaml:4: stage clean (filter.rules), min_query_chars: Input should be a valid integer, "
        "unable to parse string as an integer, got 'many'",
    ),
    "out of range": (
        f"stages:\n  code: {PYTHON}\n  clean:\n    filter.rules:\n      min_query_chars: -1",
        "r.yaml:5: stage clean (filter.rules), min_query_chars: Input should be greater than or "
        "equal to 0, got -1",
    ),
    "inside a list": (
        f"stages:\n  code: {PYTHON}\n  clean:\n    filter.rules:\n      deny_query:\n"
        "        - a\n        - [b]",
        "r.yaml:7: stage clean (filter.rules), deny_query.1: Input should be a valid string, got ['b']",
    ),
    "required": (
        f"stages:\n  code: {PYTHON}\n  found: mine.retrieve",
        "r.yaml:3: stage found (mine.retrieve), encoder: this setting is required",
    ),
    "check of the stage": (
        f"stages:\n  code: {PYTHON}\n\n  clean:\n    filter.rules: {{min_query_chars: 9, "
        "max_query_chars: 3}",
        "r.yaml:5: stage clean (filter.rules): min_query_chars: 9 is more than max_query_chars: 3",
    ),
    "unknown stage": (
        f"stages:\n  code: {PYTHON}\n  clean: {{filter.rule: {{}}}}",
        "r.yaml:3: stage clean: no stage is called 'filter.rule'; did you mean 'filter.rules'?",
    ),
    "no stage above": (
        f"stages:\n  code: {PYTHON}\n  clean: {{filter.rules: {{from: cod}}}}",
        "r.yaml:3: stage clean (filter.rules), from: no stage above is named 'cod'; did you mean 'code'?",
    ),
    "itself": (
        f"stages:\n  code: {PYTHON}\n  clean: {{filter.rules: {{from: clean}}}}",
        "r.yaml:3: stage clean (filter.rules), from: no stage above is named 'clean'; there are code",
    ),
    "no such side": (
        f"stages:\n  code: {PYTHON}\n  clean: {{filter.rules: {{from: code.passage}}}}",
        "r.yaml:3: stage clean (filter.rules), from: code has no side 'passage'; did you mean "
        "'passages'?",
    ),
    "kinds that do not fit": (
        f"stages:\n  code: {PYTHON}\n  clean: {{mine.select: {{from: code.passages}}}}",
        "r.yaml:3: stage clean (mine.select), from: takes pairs, but code.passages gives passages",
    ),
    "kinds that do not join": (
        f"stages:\n  code: {PYTHON}\n  clean: {{dedup.exact: {{from: [code, code.passages]}}}}",
        "r.yaml:3: stage clean (dedup.exact), from: cannot join pairs or passages",
    ),
    "a model that is none": (
        f"stages:\n  code: {PYTHON}\n  found:\n    mine.retrieve:\n      encoder: code",
        "r.yaml:5: stage found (mine.retrieve), encoder: takes a model, but code gives pairs",
    ),
    "a model that is nowhere": (
        f"stages:\n  code: {PYTHON}\n  found: {{mine.retrieve: {{encoder: ./gone}}}}",
        "r.yaml:3: stage found (mine.retrieve), encoder: './gone' is neither a stage above nor a "
        "folder that exists",
    ),
    "a setting that the kind forbids": (
        f"stages:\n  code: {PYTHON}\n  x: {{dedup.minhash: {{from: code.passages, on: query}}}}",
        "r.yaml:3: stage x (dedup.minhash), from: on: 'query' needs pairs, but the input is passages",
    ),
    "a first stage without input": (
        "stages:\n  clean: filter.rules",
        "r.yaml:2: stage clean (filter.rules): needs pairs or passages from a stage above it",
    ),
    "a source with input": (
        f"stages:\n  code: {PYTHON}\n  more: {{harvest.python: {{from: code}}}}",
        "r.yaml:3: stage more (harvest.python), from: a source takes no stage as input",
    ),
    "a package that is not installed": (
        "stages:\n  code: {harvest.python: {packages: [clik]}}",
        "r.yaml:2: stage code (harvest.python): packages: 'clik' is not installed here; did you mean "
        "'click'?",
    ),
    "no such parameter": (
        f"params: {{kk: 1}}\nstages:\n  code: {PYTHON}\n  clean:\n    filter.rules:\n"
        '      min_query_chars: "${k}"',
        "r.yaml:6: stage clean (filter.rules), min_query_chars: no parameter 'k'; did you mean 'kk'?",
    ),
    "unknown section": (
        f"stage:\n  a: 1\nstages:\n  code: {PYTHON}",
        "r.yaml:1: unknown section 'stage': a recipe has params, licenses, llm, stages",
    ),
    "a wrong setting of the language model, once": (
        f"llm: {{modl: x}}\nstages:\n  code: {PYTHON}\n  a: {{mine.rerank: {{}}}}\n"
        "  b: {mine.rerank: {}}",
        "r.yaml:1: llm, modl: no such setting; did you mean 'model'?",
    ),
    "no parameter for the language model": (
        f"llm: {{model: '${{m}}'}}\nstages:\n  code: {PYTHON}",
        "r.yaml:1: llm.model: no parameter 'm'",
    ),
    "a language model that is not there": (
        f"llm: {{model: ./gone}}\nstages:\n  code: {PYTHON}\n  a: {{mine.rerank: {{}}}}",
        "r.yaml:4: stage a (mine.rerank): there is no model './gone': give a packaged model "
        "(smollm2), a folder with a checkpoint, or a name on a model hub such as 'owner/name'",
    ),
    "a prompt that is not there": (
        f"llm: {{model: made}}\nstages:\n  code: {PYTHON}\n"
        "  a: {mine.rerank: {relevance: gone}}",
        "r.yaml:4: stage a (mine.rerank): there is no prompt 'gone': name one of "
        f"{', '.join(sorted(file.stem for file in FOLDER.glob('*.j2')))}, or the path of a file",
    ),
    "a stage named like a section": (
        f"stages:\n  code: {PYTHON}\n  llm: filter.rules",
        "r.yaml:3: stage 'llm': this is the name of a section of recipes",
    ),
    "a name that is none": (
        f"stages:\n  code: {PYTHON}\n  a.b: filter.rules",
        "r.yaml:3: stage 'a.b': a name is a letter, then letters, digits, _ or -",
    ),
    "two stages in one": (
        f"stages:\n  code: {PYTHON}\n  clean: {{filter.rules: {{}}, split: {{}}}}",
        "r.yaml:3: stage clean: write `clean: {STAGE: {setting: value}}`",
    ),
    "settings that are none": (
        f"stages:\n  code: {PYTHON}\n  clean: {{filter.rules: [1]}}",
        "r.yaml:3: stage clean (filter.rules): Input should be a valid dictionary or instance of "
        "Rules, got [1]",
    ),
    "a key twice": (
        f"stages:\n  code: {PYTHON}\n  clean: filter.rules\n  clean: filter.rules",
        "r.yaml:4: 'clean' appears twice",
    ),
    "a setting twice": (
        f"stages:\n  code: {PYTHON}\n  clean:\n    filter.rules:\n      drop_equal: true\n"
        "      drop_equal: true",
        "r.yaml:6: 'drop_equal' appears twice",
    ),
    "no YAML": (
        "stages:\n  code: [1",
        "r.yaml:2: not valid YAML: expected ',' or ']', but got '<stream end>'",
    ),
    "a Python object": (
        "stages:\n  code: !!python/object/apply:os.system [ls]",
        "r.yaml:2: not valid YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    "no mapping": ("- a", "r.yaml: a recipe is a mapping with `params` and `stages`"),
    "nothing": ("", "r.yaml: a recipe needs `stages`: a mapping of names to stages"),
    "no stages": ("stages: {}", "r.yaml:1: a recipe needs `stages`: a mapping of names to stages"),
    "depth": ("stages: " + "[" * 3000, "r.yaml: nested too deeply, or in itself"),
    "a loop": ("params: &a {k: *a}\nstages: {}", "r.yaml: nested too deeply, or in itself"),
}


@pytest.mark.parametrize(("text", "line"), REFUSED.values(), ids=REFUSED.keys())
def test_one_clear_line(text, line):
    assert problems(text) == [line]


def test_every_problem_is_told_at_once():
    found = problems(f"""
        stages:
          code: {PYTHON}
          clean: {{filter.rules: {{min_query_char: 3, drop_equal: 7}}}}
          exact: {{dedup.exact: {{on: text}}}}
          last: {{dedup.exat: {{}}}}
    """)
    assert [line.split(": ")[0] for line in found] == [
        "r.yaml:3",
        "r.yaml:3",
        "r.yaml:4",
        "r.yaml:5",
    ]
    found = problems(f"""
        stages:
          code: {PYTHON}
          clean: {{filter.rules: {{from: cod}}}}
          exact: {{dedup.exact: {{from: cleen}}}}
    """)
    assert [line.split(": ")[0] for line in found] == ["r.yaml:3", "r.yaml:4"]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("params.kk=1", "no such parameter; did you mean 'k'?"),
        ("clen.k=1", "no such stage; did you mean 'clean'?"),
        ("clean.min_query_char=1", "min_query_char: no such setting; did you mean"),
        ("clean.min_query_chars=many", "min_query_chars: Input should be a valid integer"),
        ("clean.min_query_chars.deep=1", "min_query_chars is 3, which has no parts to set"),
        ("clean=1", "write params.NAME=VALUE, STAGE.FIELD=VALUE or SECTION.NAME=VALUE"),
        (
            "clean.min_query_chars",
            "write params.NAME=VALUE, STAGE.FIELD=VALUE or SECTION.NAME=VALUE",
        ),
        ("clean.deny_query=[a", "is not a YAML value"),
    ],
)
def test_overrides_are_refused(override, says):
    text = f"""
        params: {{k: 3}}
        stages:
          code: {PYTHON}
          clean: {{filter.rules: {{min_query_chars: 3}}}}
    """
    (line,) = problems(text, override)
    assert says in line


def test_a_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(RecipeError, match=r"gone\.yaml: cannot read the recipe: No such file"):
        Recipe.load(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"stages: \xff")
    with pytest.raises(RecipeError, match=r"latin\.yaml: not UTF-8 text"):
        Recipe.load(tmp_path / "latin.yaml")


# -- YAML and Python -------------------------------------------------------------------------------


def test_recipes_built_in_python_have_the_keys_of_yaml(tmp_path):
    yaml = parse(f"""
        params: {{k: 3}}
        stages:
          code: {PYTHON}
          clean: {{filter.rules: {{min_query_chars: 12, min_score: {{a: 1, b: 2}}}}}}
          hard: {{mine.select: {{from: clean, count: "${{k}}"}}}}
    """)
    known = registry()
    built = Recipe(
        {
            "code": known["harvest.python"](packages=("click",), stdlib=False, topics=False),
            "clean": known["filter.rules"](min_score={"b": 2.0, "a": 1.0}, min_query_chars=12),
            "hard": SelectNegatives(from_="clean", count=3),
        }
    )
    keys = [[step.artefact for step in plan(recipe, tmp_path)] for recipe in (yaml, built)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 3


def test_python_recipes_are_refused_as_well():
    with pytest.raises(RecipeError, match=r"recipe: stage hard \(mine.select\): needs pairs"):
        Recipe({"hard": SelectNegatives()})


def test_equal_recipes_give_equal_keys_whatever_the_hash_seed(tmp_path):
    import os
    import subprocess
    import sys

    program = (
        "from curate import Recipe; from curate.engine.local import plan; from pathlib import Path;"
        f"recipe = Recipe.parse('stages: {{code: {PYTHON}, clean: filter.rules}}');"
        f"print([step.artefact for step in plan(recipe, Path({str(tmp_path)!r}))])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
