"""`harvest.python` on installations made here, and on the standard library against `ast` itself."""

import ast
import gc
import hashlib
import inspect
import json
import pickle
import re
import sys
import sysconfig
import textwrap
import time
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.harvest.code.definitions import summary_of
from curate.harvest.python import PythonHarvest
from curate.schema import Pair, Passage, to_table
from curate.stage import Drop, Unit

DOCUMENTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def install(root: Path, files: dict[str, str | bytes], name="Demo_Pkg", metadata=""):
    """Lay out an installed wheel: files, METADATA and a RECORD with hashes of their own text."""
    info = root / f"{name.lower()}-1.0.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    (info / "METADATA").write_text(head + textwrap.dedent(metadata))
    rows = [f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]
    for path, content in files.items():
        data = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        rows.append(f"{path},sha256={hashlib.sha256(data).hexdigest()},{len(data)}")
    (info / "RECORD").write_text("\n".join(rows) + "\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Make a folder of installed packages that is all that the environment has."""
    root = tmp_path / "site"
    root.mkdir()
    monkeypatch.setattr(sys, "path", [str(root)])
    return root


def stage(**settings):
    return PythonHarvest(**({"stdlib": False, "topics": False, "summaries": False} | settings))


def fates(source):
    return [fate for unit in source.units() for fate in source.harvest(unit)]


def split(outcomes):
    kept = [r for fate in outcomes if not isinstance(fate, Drop) for r in fate]
    pairs = [r for r in kept if isinstance(r, Pair)]
    passages = [r for r in kept if isinstance(r, Passage)]
    return pairs, passages, [fate for fate in outcomes if isinstance(fate, Drop)]


def harvested(site, code, **settings):
    install(site, {"pkg/mod.py": code})
    return split(fates(stage(**settings)))


def test_function_without_its_docstring(site):
    pairs, passages, drops = harvested(
        site,
        '''
        import functools


        @functools.cache
        # kept: a comment
        def area(side, *, unit="m²"):  # signature
            """Return the area of
            a square, in ``unit``.

            :param side: a length.
            """  # noqa: D401

            # why: squares only
            return side * side, unit
        ''',
    )
    (pair,), (passage,) = pairs, passages
    assert drops == []
    assert pair.kind == "docstring-code"
    assert pair.query == "Return the area of a square, in ``unit``."
    assert passage.text == textwrap.dedent(
        """\
        @functools.cache
        # kept: a comment
        def area(side, *, unit="m²"):  # signature
            # why: squares only
            return side * side, unit"""
    )
    assert [doc.text for doc in pair.positives] == [passage.text]
    assert [doc.id for doc in pair.positives] == [passage.id]
    assert passage.title is None
    assert (pair.group, pair.source) == ("demo-pkg", "python-docstrings")
    place = {"module": "pkg.mod", "qualname": "area", "path": "pkg/mod.py", "line": 7}
    assert json.loads(pair.meta) == place


def test_class_is_an_outline_and_methods_stand_under_its_name(site):
    pairs, _, _ = harvested(
        site,
        '''
        class Stack(list):
            """A pile of things."""

            limit = 3  # at most

            @property
            def top(self):
                """The thing on top."""
                return self[-1]

            async def drain(self):  # slow
                return []

            def size(self): return len(self)

            class Empty(Exception):
                code = 1
        ''',
    )
    texts = {pair.query: pair.positives[0].text for pair in pairs}
    assert texts["A pile of things."] == textwrap.dedent(
        """\
        class Stack(list):
            limit = 3  # at most

            @property
            def top(self): ...

            async def drain(self):  # slow
                ...

            def size(self): ...

            class Empty(Exception): ..."""
    )
    assert texts["The thing on top."] == textwrap.dedent(
        """\
        class Stack:
            @property
            def top(self):
                return self[-1]"""
    )


def test_every_definition_has_one_fate(site):
    long = "\n".join(f"    x{i} = {i}" for i in range(9))
    code = (
        f"def documented():\n    'A good summary.'\n    return 1\n"
        f"def undocumented():\n{long}\n"
        f"def small(): return 1\n"
        f"def nothing():\n    'Does nothing at all.'\n    pass\n    ...\n"
        f"def terse():\n    'Go.'\n    return 1\n"
        f"def endless():\n    'Goes on and on and on.'\n    return '{'x' * 200}'\n"
        f"def outer():\n    'Defines another one inside.'\n"
        f"    def inner():\n        'Not an input of its own.'\n    return inner\n"
        f"if True:\n    def branch():\n        'Defined under a condition.'\n        return 2\n"
    )
    pairs, passages, drops = harvested(site, code, max_chars=150)
    names = [json.loads(pair.meta)["qualname"] for pair in pairs]
    assert names == ["documented", "outer", "branch"]
    assert [json.loads(p.meta)["qualname"] for p in passages] == [
        "documented",
        "undocumented",
        "outer",
        "branch",
    ]
    assert [drop.reason for drop in drops] == ["no_code", "short_summary", "long_code"]
    assert drops[0].detail.startswith("demo-pkg: pkg/mod.py:15: nothing: ")
    assert pairs[2].positives[0].text == "def branch():\n    return 2"


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        (b"def f(:\n  pass", "syntax_error", "pkg/bad.py:1: "),
        (b"def f():\n    'a\xff'", "unreadable", "pkg/bad.py: "),
        (b"# coding: no-such\ndef f(): 1", "unreadable", "unknown encoding"),
        (b"def f(): 1\n\0", "syntax_error", "null"),
        (b"class A: x = " + b"-" * 200_000 + b"1", "too_deep", "nested too deeply"),
        (b"def f(): 1\n" + b"#" * 8_000_000, "unreadable", "larger than"),
    ],
)
def test_a_bad_file_is_one_drop(site, content, reason, said):
    install(
        site, {"pkg/bad.py": content, "pkg/good.py": 'def f():\n "Fine, thank you."\n return 1'}
    )
    pairs, _, (drop,) = split(fates(stage()))
    assert len(pairs) == 1
    assert drop.reason == reason
    assert said in drop.detail
    assert str(site) not in drop.detail


def test_a_missing_file_is_a_drop_that_names_no_place(site):
    install(site, {"pkg/gone.py": "x = 1"})
    (site / "pkg/gone.py").unlink()
    (drop,) = fates(stage())
    assert drop == Drop(
        "unreadable", "demo-pkg: pkg/gone.py: No such file or directory", "python-docstrings"
    )


def test_paths_outside_the_root_are_not_read(site):
    outside = 'def f():\n    "Steals from outside."\n    return 1'
    install(site, {"../stolen.py": outside, str(site.parent / "too.py"): outside})
    assert fates(stage()) == []


def test_surrogates_and_unicode_fit_arrow(site):
    pairs, _, _ = harvested(
        site, 'def f():\n    "Lone \\ud800 surrogate 漢字"\n    return "é"; é = 1\n'
    )
    assert pairs[0].query == "Lone ? surrogate 漢字"
    assert to_table(pairs, "pairs")["query"].to_pylist() == [pairs[0].query]


def test_declared_encodings_and_line_ends(site):
    latin = "# coding: latin-1\r\ndef f():\r\n    '''Un résumé français.'''\r\n    return 'é'\r\n"
    pairs, _, _ = harvested(site, latin.encode("latin-1"))
    assert pairs[0].query == "Un résumé français."
    assert pairs[0].positives[0].text == "def f():\n    return 'é'"


def test_code_is_read_never_run(site, tmp_path):
    harvested(
        site, f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f():\n    'Never run at all.'\n    1/0"
    )
    assert not (tmp_path / "ran").exists()


def test_skip_packages_and_duplicates(site, tmp_path, monkeypatch):
    code = 'def f():\n    "One of the functions."\n    return 1'
    install(site, {"tests/a.py": code, "b/tests/c.py": code, "b/latests/d.py": code})
    install(site, {"other.py": code}, name="Other")
    install(site, {"curate.py": code}, name="curate")
    second = tmp_path / "second"
    install(second, {"shadowed.py": code}, name="other")
    (site / "~roken-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(site), str(second)])
    paths = [json.loads(p.meta)["path"] for p in split(fates(stage()))[0]]
    assert paths == ["b/latests/d.py", "other.py"]
    paths = [json.loads(p.meta)["path"] for p in split(fates(stage(packages=["OTHER"])))[0]]
    assert paths == ["other.py"]
    with pytest.raises(ValueError, match="'othr' is not installed here; did you mean 'other'"):
        stage(packages=["othr"]).check()
    stage(packages=["Demo.Pkg"]).check()


def test_fingerprints_follow_content_not_place(tmp_path, monkeypatch):
    def units(place, code):
        root = tmp_path / place
        install(root, {"pkg/mod.py": code})
        monkeypatch.setattr(sys, "path", [str(root)])
        return [(unit.name, unit.fingerprint) for unit in stage(summaries=True).units()]

    here, there, changed = units("here", "x = 1"), units("there", "x = 1"), units("other", "x = 2")
    assert here == there
    assert here[0] != changed[0]
    assert here[1] == changed[1]


def test_units_are_balanced_and_lose_no_file(site):
    files = {f"pkg/m{i:02}.py": "#" * (100_000 * (1 + i % 7)) for i in range(40)}
    install(site, files)
    units = stage().units()
    sizes = [sum(len(files[path]) for path in unit.payload.paths) for unit in units]
    assert [path for unit in units for path in unit.payload.paths] == sorted(files)
    assert max(sizes) < 1.4 * min(sizes)
    assert min(sizes) > 2_000_000
    assert max(sizes) < 4_000_000
    assert pickle.loads(pickle.dumps(units)) == units


METADATA = """\
Summary: Paint walls quickly.
License: MIT
Project-URL: Issues, https://example.org/issues
Project-URL: Homepage, https://example.org
Description-Content-Type: text/markdown

<p align="center"><img src="logo.png"></p>

[![build](https://ci/badge.svg)](https://ci) ![cover](c.svg)

.. image:: x.png
   :width: 10

# Paint walls quickly

A library for painting. <!-- hidden -->
"""


def test_summary_and_description(site):
    install(site, {}, metadata=METADATA)
    install(site, {}, name="bare", metadata="Summary: Nothing more to say.\n")
    install(site, {}, name="mute", metadata="\nA description without a summary.\n")
    (pair,), (passage,), drops = split(fates(stage(summaries=True)))
    assert (pair.kind, pair.source) == ("summary-description", "package-summaries")
    assert pair.query == "Paint walls quickly."
    assert passage.text == "A library for painting."
    assert (pair.group, pair.license, pair.url) == ("demo-pkg", "MIT", "https://example.org")
    assert [(drop.reason, drop.detail) for drop in drops] == [
        ("no_text", "bare: no description"),
        ("short_summary", "mute: ''"),
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("License-Expression: Apache-2.0\nLicense: x", "Apache-2.0"),
        (
            f"License: {'long ' * 30}\nClassifier: License :: OSI Approved :: BSD License",
            "BSD License",
        ),
        ("License: UNKNOWN", None),
    ],
)
def test_license(site, header, expected):
    install(site, {}, metadata=f"{header}\nSummary: A sentence about it.\n\nThe description.\n")
    (pair,), _, _ = split(fates(stage(summaries=True)))
    assert pair.license == expected


def test_hostile_descriptions_take_linear_time(site):
    body = "![" * 50_000 + "<!--" * 20_000 + "<a " * 20_000
    install(site, {}, metadata=f"Summary: A sentence about it.\n\n{body}\n")
    started = time.monotonic()
    assert len(fates(stage(summaries=True))) == 1
    assert time.monotonic() - started < 10


def test_topics(site):
    (unit,) = stage(topics=True).units()
    pairs, passages, drops = split(list(stage(topics=True, max_chars=5_000).harvest(unit)))
    assert len(pairs) + len(drops) == len(topics)
    by_query = {pair.query: pair for pair in pairs}
    pair = by_query['The "assert" statement']
    assert pair.positives[0].text.startswith("Assert statements are a convenient way")
    assert (pair.group, pair.license, pair.kind) == ("python-topics", "PSF-2.0", "topic-text")
    assert max(len(p.text) for p in passages) <= 5_000


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("One line.", "One line."),
        ("\n    Two\n    lines.\n\n    More.", "Two lines."),
        ("f(a, b) -> int\n\nAdd them.", "Add them."),
        ("f(a, b) -> int\nAdd them.", "Add them."),
        ("Add them.\nArgs:\n    a: one.", "Add them."),
        ("Args:\n    a: one.\n\nAdd them.", ""),
        ("x (`int`, *optional*): The size.\n\nMore.", ""),
        (":param x: a size.", ""),
        (">>> f(1)\n2", ""),
        (".. deprecated:: 1.0\n   Gone.\n\nAdd them.", "Add them."),
        ("=====\nTitle\n=====\n\nText.", "Title"),
        ("{gap} of a template.\n\nAdd them.", "Add them."),
        ("", ""),
        ("   \n\n  ", ""),
    ],
)
def test_summary_of(docstring, expected):
    assert summary_of(docstring) == expected


@given(st.text())
def test_summary_is_one_clean_line(docstring):
    summary = summary_of(docstring)
    assert summary == " ".join(summary.split())
    summary.encode()


# --- the standard library, against `ast` ---


def reference(node, owner):
    """Return the tree that the passage must have: made from trees, not from text."""
    node = pickle.loads(pickle.dumps(node))
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]
    if isinstance(node, ast.ClassDef):
        for item in node.body:
            if isinstance(item, DOCUMENTED):
                item.body = [ast.Expr(ast.Constant(...))]
    if owner is not None:
        node = ast.ClassDef(owner, [], [], [node], [])
    return comparable(ast.Module([node], []))


def comparable(tree):
    """Print a tree, blind to the indentation inside strings, which moves with the code."""
    return re.sub(r"(?:\\n|\s)+", " ", ast.dump(tree).replace("\\\\n", " "))


def library_paths():
    root = Path(sysconfig.get_path("stdlib"))
    names = ["argparse", "dataclasses", "datetime", "enum", "typing", "turtle", "email/message"]
    names += ["asyncio/base_events", "collections/__init__", "unittest/mock", "tarfile"]
    return [(root / f"{name}.py") for name in names]


def by_position(tree):
    owners = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for inner in ast.walk(node):
                if isinstance(inner, DOCUMENTED) and inner is not node:
                    owners[inner.lineno] = node.name  # the innermost is met last
    return {
        n.lineno: (n, owners.get(n.lineno)) for n in ast.walk(tree) if isinstance(n, DOCUMENTED)
    }


@pytest.mark.parametrize("path", library_paths(), ids=lambda path: path.stem)
def test_passages_parse_to_the_trees_they_came_from(site, path):
    text = path.read_text("utf-8")
    nodes = by_position(ast.parse(text))
    pairs, passages, drops = harvested(site, text.encode(), min_lines=1, max_chars=1_000_000)
    assert len(passages) > 10
    for passage in passages:
        node, owner = nodes[json.loads(passage.meta)["line"]]
        assert comparable(ast.parse(passage.text)) == reference(node, owner)
    for pair in pairs:
        node, _ = nodes[json.loads(pair.meta)["line"]]
        docstring = " ".join(inspect.cleandoc(ast.get_docstring(node)).split())
        assert pair.query in docstring
    assert {drop.reason for drop in drops} <= {"no_code", "short_summary"}


def test_installed_environment_is_listed_quickly_and_twice_the_same():
    source = PythonHarvest()
    started = time.monotonic()
    units = source.units()
    assert time.monotonic() - started < 5
    assert units == source.units()
    assert len({unit.name for unit in units}) == len(units)
    assert all(isinstance(unit, Unit) for unit in units)


def test_harvest_leaves_the_collector_as_it_was(site):
    install(site, {"a.py": "def f(): 1", "b.py": "def f(:"})
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            for _ in fates(stage()):
                assert gc.isenabled() is enabled
        finally:
            gc.enable()
