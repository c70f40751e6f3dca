"""Made code in every language, in archives, as a tree and as a repository; some of it damaged."""

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

VERBS = ["Reads", "Writes", "Sorts", "Paints", "Folds", "Splits", "Counts", "Zählt", "集める the"]

PYTHON = '''
def {name}(rows):
    """{verb} all the rows of number {n}.

    :param rows: a list.
    """
    return [row + {n} for row in rows]
'''
JAVASCRIPT = """
/**
 * {verb} all the rows of number {n}.
 *
 * @param {{Array}} rows a list
 */
function {name}(rows) {{
  return rows.map((row) => row + {n});
}}
"""
TYPESCRIPT = JAVASCRIPT.replace("(rows) {", "(rows: number[]): number[] {")
JAVA = """
  /**
   * {verb} all the rows of number {{@code {n}}}.
   *
   * @param rows a list
   */
  @Override
  public int {name}(List<Integer> rows) {{
    return rows.size() + {n};
  }}
"""
GO = """
// {name} is {verb} all the rows of number {n}.
func {name}(rows []int) int {{
	return len(rows) + {n}
}}
"""
RUST = """
/// {verb} all the rows of number {n}.
///
/// # Examples
#[inline]
pub fn {name}(rows: &[i32]) -> usize {{
    rows.len() + {n}
}}
"""
C = """
/**
 * \\brief {verb} all the rows of number {n}.
 * \\param rows a list
 */
static int {name}(int *rows)
{{
    return rows[0] + {n};
}}
"""
CSHARP = """
  /// <summary>
  /// {verb} all the <paramref name="rows"/> of number {n}.
  /// </summary>
  public int {name}(List<int> rows) => rows.Count + {n};
"""
RUBY = """
# {verb} all the rows of number {n}.
#
# @param rows [Array] a list
def {name}(rows)
  rows.map {{ |row| row + {n} }}
end
"""
PHP = """
/**
 * {verb} all the rows of number {n}.
 *
 * @return int
 */
function {name}(array $rows): int
{{
    return count($rows) + {n};
}}
"""
AROUND = {"java": "class Rows {{{}}}", "cs": "class Rows {{{}}}", "php": "<?php\n{}"}
LANGUAGES = {
    "js": JAVASCRIPT,
    "ts": TYPESCRIPT,
    "java": JAVA,
    "go": GO,
    "rs": RUST,
    "c": C,
    "cpp": C,
    "cs": CSHARP,
    "rb": RUBY,
    "php": PHP,
}


def source(template: str, count: int, around: str = "{}") -> str:
    """Fill a template with functions."""
    filled = [
        template.format(name=f"rows_{n}", n=n, verb=VERBS[n % len(VERBS)]) for n in range(count)
    ]
    return around.format("".join(filled))


def git(folder: Path, *arguments: str, when: int = 0) -> str:
    """Run git in a folder as if it were the same second of the same user everywhere."""
    who = {
        f"GIT_{role}_{part}": "made"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }
    date = f"{1_700_000_000 + when} +0000"
    environment = who | {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_DATE": date,
    }
    command = ["git", "-c", "init.defaultBranch=main", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def need_git() -> None:
    """Skip a test where git is not installed."""
    if shutil.which("git") is None:
        pytest.skip("the executable `git` is not installed")


def repository(folder: Path, commits: int) -> None:
    """Make a repository whose commits are in turn good, a release, and without a message."""
    folder.mkdir()
    git(folder, "init", "--quiet")
    for n in range(commits):
        (folder / "rows.py").write_text(source(PYTHON, n + 1), "utf-8")
        said = (
            f"{VERBS[n % 9]} the rows of the table number {n}\n\nThey were left out before. (#{n})"
        )
        message = {3: "v1.0.1", 5: "wip"}.get(n % 7, said)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", message, when=n)


def make(folder: Path) -> dict[str, object]:
    """Write a tree, three archives, a repository and what is damaged."""
    need_git()
    tree = folder / "tree"
    tree.mkdir()
    (tree / "package.json").write_text('{"name": "made", "version": "1.0", "license": "MIT"}')
    for suffix, template in LANGUAGES.items():
        text = source(template, 8, AROUND.get(suffix, "{}"))
        (tree / f"rows.{suffix}").write_text(text, "utf-8")
    with zipfile.ZipFile(folder / "made-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("made/rows.py", source(PYTHON, 30))
        wheel.writestr("made/broken.py", "def f(:\n")
        wheel.writestr("made/binary.py", b"def f(): \0\1\2")
        wheel.writestr("../../made/odd.py", source(PYTHON, 2))
        wheel.writestr(
            "made-1.0.dist-info/METADATA", "Name: Made_Pkg\nVersion: 1.0\nLicense: MIT\n"
        )
    with tarfile.open(folder / "made-2.0.tgz", "w:gz") as archive:
        for name, text in {"rows.js": source(JAVASCRIPT, 9), "small.js": "var a=1;" * 900}.items():
            data = text.encode()
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    whole = (folder / "made-2.0.tgz").read_bytes()
    (folder / "torn-2.0.tgz").write_bytes(whole[: len(whole) // 2])
    (folder / "latin.js").write_bytes(source(JAVASCRIPT, 8).replace("集", "é").encode("latin-1"))
    repository(folder / "repo", 14)
    return {"path": str(folder)}
