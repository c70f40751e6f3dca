"""`harvest.code` on git repositories that the real `git` makes here."""

import json
import os
import random
import re
import shutil
import time
from pathlib import Path

import pytest

from curate.harvest.code import git as code_git
from curate.harvest.code.commits import passage_of, query_of, refusal
from curate.harvest.code.git import Commit
from curate.harvest.code.source import CodeHarvest
from tests.harvest.made.code import git, need_git
from tests.harvest.reading import harvested
from tests.harvest.test_packages import MIT

SAID = "Count the things that are left"


@pytest.fixture
def repo(tmp_path):
    """A folder with an empty repository of the name `demo`."""
    need_git()
    folder = tmp_path / "demo"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def commit(folder: Path, message: str, when: int = 0, **files: str | bytes | None) -> str:
    """Write files (`__` in a name stands for a dot, `___` for a slash) and commit them."""
    for name, content in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git(folder, "add", "--all")
    said = folder.parent / "message.txt"
    said.write_text(message, "utf-8")
    git(folder, "commit", "--quiet", "--allow-empty", "--file", str(said), when=when)
    return git(folder, "rev-parse", "HEAD")


def commits(folder: Path, **settings):
    return harvested(CodeHarvest(path=str(folder), definitions=False, **settings))


def test_message_and_diff(repo):
    commit(repo, "Start a list of things\n\nSee below.", a__py="x = 1\ny = 2\n", LICENSE=MIT)
    last = commit(
        repo,
        "Count the things (#12)\n\nThey are üseful.\n\nFixes: #3\nhttps://x.org\n"
        "Signed-off-by: A <a@b.c>",
        when=9,
        a__py="x = 1\ny = 3\n",
        b__py="ü = 4\n",
    )
    git(repo, "remote", "add", "origin", "https://me:secret@github.com/o/demo.git")
    found = commits(repo)
    pair, first = found.pairs
    assert (pair.kind, pair.source, pair.group) == ("commit-diff", "code/git", "demo")
    assert (pair.license, pair.url) == ("MIT", f"https://github.com/o/demo/commit/{last}")
    assert pair.query == "Count the things\n\nThey are üseful."
    assert pair.positives[0].text == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n+y = 3\n"
        "--- /dev/null\n+++ b/b.py\n@@ -0,0 +1 @@\n+ü = 4"
    )
    assert json.loads(pair.meta) == {"commit": last, "time": 1_700_000_009, "files": 2}
    assert first.query == "Start a list of things\n\nSee below."
    assert first.positives[0].text.startswith("--- /dev/null\n+++ b/a.py\n")
    assert found.drops == []


def test_every_commit_has_one_fate(repo):
    commit(repo, SAID, a__py="x = 1\n")
    commit(repo, "Bump version to 2.0", a__py="x = 2\n")
    commit(repo, "v1.2.3", a__py="x = 3\n")
    commit(repo, "fix typo", a__py="x = 4\n")
    commit(repo, "Nothing changes in this one")
    commit(repo, "Add what no one reads", logo__png=b"\x89PNG\0\0", run__sh="x\n")
    commit(repo, "Only a binary file is here", logo__png=b"\x89PNG\0\1")
    commit(repo, "Lock the versions of all", yarn__lock="a\n", x__min__js="b\n")
    commit(repo, "Import a lot of files", **{f"many___f{n}__txt": "x\n" for n in range(60)})
    (repo / "run.sh").chmod(0o755)
    commit(repo, "Make the script executable")
    git(repo, "checkout", "--quiet", "-b", "side", "HEAD~2")
    commit(repo, "Work that is on the side", side__py="s = 1\n")
    git(repo, "checkout", "--quiet", "main")
    git(repo, "merge", "--quiet", "--no-ff", "-m", "Bring in the side work", "side")
    git(
        repo,
        "-c",
        "user.name=x",
        "commit",
        "--allow-empty",
        "-q",
        "-m",
        "Merge pull request #3 from x",
    )
    total = int(git(repo, "rev-list", "--count", "HEAD"))
    found = commits(repo)
    assert found.kept + len(found.drops) == total
    assert found.reasons == {
        "release": 2,
        "short_message": 1,
        "no_text": 3,
        "generated": 1,
        "huge_diff": 1,
        "merge": 2,
    }
    assert sorted(pair.query for pair in found.pairs) == [
        "Add what no one reads",
        SAID,
        "Work that is on the side",
    ]
    assert all(re.search(r"demo|\.git: [0-9a-f]{40}: ", drop.detail) for drop in found.drops)


def test_counts_agree_with_git_itself(repo):
    for n in range(260):
        commit(repo, f"Change the number to {n}", when=n, a__py=f"x = {n}\n")
    source = CodeHarvest(path=str(repo), definitions=False)
    (unit,) = source.units()
    blocks = list(source.cut(unit))
    assert [len(block.payload.ids) for block in blocks] == [200, 60]
    found = commits(repo)
    listed = git(repo, "rev-list", "HEAD").split()
    assert [json.loads(pair.meta)["commit"] for pair in found.pairs] == listed


def test_bots_are_dropped():
    for author in (
        "dependabot[bot] <x@y>",
        "x <renovate@whitesourcesoftware.com>",
        "snyk-bot <a@b>",
    ):
        assert refusal(Commit("1", 1, author, 0, SAID), 10) == "bot"
    assert refusal(Commit("1", 1, "Abbot <abbot@robots.org>", 0, SAID), 10) is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (SAID, None),
        ("Support IPv6 addresses in URLs", None),
        ("修复了解析器的一个错误", None),
        ("Handle the release of a lock", None),
        ("Update the parser to accept tabs", None),
        ("feat(api)!: count the things", None),
        ("Merge branch 'main' into x", "merge"),
        ("Merge pull request #1 from a/b", "merge"),
        ("Release 1.2.3", "release"),
        ("release version 8.1.8", "release"),
        ("1.0.0-rc1", "release"),
        ("chore(deps): bump x from 1 to 2", "release"),
        ("Update changelog", "release"),
        ("[maven-release-plugin] prepare for next development iteration", "release"),
        ("wip", "short_message"),
        ("Fix typo in README.md", "short_message"),
        ("Apply suggestions from code review", "short_message"),
        ("fixed some tests again", "short_message"),
        ("", "short_message"),
    ],
)
def test_messages(message, reason):
    assert refusal(Commit("1", 1, "A <a@b.c>", 0, message), 10) == reason


@pytest.mark.parametrize("part", ["#1", "a.b", "fix ", "(#1)", "https://x ", "-", "v1."])
def test_hostile_messages_take_linear_time(part):
    started = time.monotonic()
    for message in (part * 50_000, f"x\n{part * 50_000}", "x\n" + f"{part}\n" * 20_000):
        query_of(message)
        refusal(Commit("1", 1, "a", 0, message), 10)
    assert time.monotonic() - started < 5


def test_source_comes_first_and_is_cut_at_a_line():
    diff = [
        ("docs/a.md", "--- a\n+++ docs\n+d"),
        ("tests/test_a.py", "--- a\n+++ tests\n+t"),
        ("src/a.py", "--- a\n+++ source\n+" + "s" * 30 + "\n+more"),
        ("go.sum", "--- a\n+++ sum\n+1"),
        ("sub", "--- a\n+++ sub\n@@ -1 +1 @@\n-Subproject commit 1"),
    ]
    text = passage_of(diff, 1_000)
    assert re.findall(r"\+\+\+ (\w+)", text) == ["source", "tests", "docs"]
    assert passage_of(diff, 53) == "--- a\n+++ source\n+" + "s" * 30
    assert passage_of(diff[3:], 1_000) is None


def test_odd_paths_encodings_and_contents(repo):
    long = "\n".join(f"line {n}" for n in range(9_000))
    commit(repo, "Lay down the first of it", **{"späce and ünicode__py": "x = 1\n"}, long__txt=long)
    (repo / 'quo"te\n.py').write_text("q = 1\n")
    commit(repo, "Add a file that is named oddly")
    commit(repo, "Say it in another encoding", latin__py="# \xe9\xe8\n".encode("latin-1"))
    commit(
        repo,
        "Feign a commit and a file",
        a__txt="a" * 40 + "\ndiff --git a/x b/x\n@@ no\n--- a/y\n",
    )
    git(repo, "mv", "späce and ünicode.py", "plain.py")
    commit(repo, "Rename the file that is odd", plain__py="x = 1\n", more__py="m = 1\n")
    git(
        repo,
        "-c",
        "i18n.commitEncoding=latin-1",
        "commit",
        "--allow-empty",
        "-qm",
        "Añadir esto y más",
    )
    found = commits(repo, max_chars=2_000)
    by_query = {pair.query: pair.positives[0].text for pair in found.pairs}
    assert len(by_query) == 5
    assert "+++ b/späce and ünicode.py\n" in by_query["Lay down the first of it"]
    assert len(by_query["Lay down the first of it"]) <= 2_000
    assert "+# éè" in by_query["Say it in another encoding"]
    feigned = by_query["Feign a commit and a file"]
    assert feigned.startswith("--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1,4 @@\n+aaaa")
    assert feigned.endswith("+diff --git a/x b/x\n+@@ no\n+--- a/y")
    assert (
        by_query["Rename the file that is odd"]
        == "--- /dev/null\n+++ b/more.py\n@@ -0,0 +1 @@\n+m = 1"
    )


def test_bare_packed_detached_and_shallow(repo, tmp_path):
    for n in range(4):
        commit(repo, f"Change the number to {n}", when=n, a__py=f"x = {n}\n")
    git(repo, "gc", "--quiet")
    git(repo, "clone", "--quiet", "--bare", "--no-local", str(repo), str(tmp_path / "bare.git"))
    shallow = tmp_path / "shallow"
    git(repo, "clone", "--quiet", "--depth", "2", f"file://{repo}", str(shallow))
    bare = commits(tmp_path / "bare.git")
    assert [pair.query for pair in bare.pairs] == [
        f"Change the number to {n}" for n in (3, 2, 1, 0)
    ]
    assert bare.pairs[0].group == "bare"
    assert commits(shallow).kept == 2
    git(repo, "checkout", "--quiet", "--detach", "HEAD~2")
    assert commits(repo).kept == 2
    assert commits(tmp_path).kept == 4 + 2 + 2


def test_code_and_commits_of_a_repository_are_one_group(repo):
    code = 'def f():\n    "Gives the number one."\n    return 1\n'
    commit(repo, SAID, a__py=code, package__json='{"name": "whole", "license": "ISC"}')
    found = harvested(CodeHarvest(path=str(repo)))
    assert [(p.kind, p.group, p.license) for p in found.pairs] == [
        ("commit-diff", "whole", "ISC"),
        ("docstring-code", "whole", "ISC"),
    ]
    assert harvested(CodeHarvest(path=str(repo), commits=False)).kinds == {"docstring-code": 1}


def test_the_key_follows_the_last_commit(repo):
    def stamp():
        (unit,) = CodeHarvest(path=str(repo), definitions=False).units()
        return unit.fingerprint

    commit(repo, SAID, a__py="x = 1\n")
    before = stamp()
    git(repo, "gc", "--quiet")
    assert stamp() == before
    commit(repo, SAID, a__py="x = 2\n")
    assert stamp() != before


# --- repositories that are not to be trusted ---


def test_no_setting_of_a_repository_is_obeyed(repo, tmp_path):
    commit(repo, SAID, a__py="x = 1\n")
    commit(repo, SAID, a__py="x = 2\n", __gitattributes="*.py diff=evil filter=evil\n")
    ran = tmp_path / "ran"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    evil.chmod(0o755)
    settings = {
        "core.fsmonitor": evil,
        "core.pager": evil,
        "core.sshCommand": evil,
        "core.hooksPath": tmp_path,
        "core.editor": evil,
        "diff.external": evil,
        "diff.evil.textconv": evil,
        "diff.evil.command": evil,
        "filter.evil.smudge": evil,
        "filter.evil.clean": evil,
        "gpg.program": evil,
        "log.showSignature": "true",
        "credential.helper": f"!{evil}",
        "alias.log": f"!{evil}",
        "color.ui": "always",
        "diff.noprefix": "true",
        "core.worktree": "/",
        "include.path": "/dev/zero",
    }
    lines = ""
    for name, value in settings.items():
        section, _, key = name.rpartition(".")
        head, _, sub = section.partition(".")
        lines += f'[{head} "{sub}"]\n' if sub else f"[{head}]\n"
        lines += f"\t{key} = {value}\n"
    with (repo / ".git/config").open("a") as config:
        config.write(lines)
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"):
        shutil.copy(evil, repo / ".git/hooks" / hook)
    (repo / ".git/info/attributes").write_text("* diff=evil\n")
    found = commits(repo)
    assert found.kept == 2
    assert "--- a/a.py\n+++ b/a.py\n" in found.pairs[0].positives[0].text
    assert not ran.exists()


def test_nothing_is_fetched(repo, tmp_path):
    commit(repo, SAID, a__py="x = 1\n" * 50)
    commit(repo, "Take all of it away again", a__py="y = 2\n", b__py="z = 3\n")
    ran = tmp_path / "ran"
    with (repo / ".git/config").open("a") as config:
        config.write(
            "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n"
            f'[remote "origin"]\n\turl = ext::sh -c "touch {ran}"\n\tpromisor = true\n'
        )
    blob = git(repo, "-c", "extensions.partialClone=", "rev-parse", "HEAD:b.py")
    (repo / ".git/objects" / blob[:2] / blob[2:]).unlink()
    found = commits(repo)
    assert found.reasons == {"damaged": 1}
    assert [pair.query for pair in found.pairs] == [SAID]
    assert not ran.exists()


def test_objects_of_others_are_not_read(repo, tmp_path):
    commit(repo, SAID, a__py="x = 1\n")
    git(repo, "clone", "--quiet", "--shared", str(repo), str(tmp_path / "borrower"))
    found = commits(tmp_path / "borrower")
    assert found.kept == 0
    assert found.reasons == {"unreadable": 1}
    assert "lie outside" in found.drops[0].detail


@pytest.mark.parametrize(
    "head", ["", "ref: refs/heads/none\n", "ref: ../../HEAD\n", "\xff\0", "0" * 40, "f" * 64]
)
def test_a_repository_without_commits_is_one_drop(repo, head):
    commit(repo, SAID, a__py="x = 1\n")
    (repo / ".git/HEAD").write_text(head, "latin-1")
    found = commits(repo)
    assert found.kept == 0
    assert len(found.drops) == 1
    assert found.drops[0].reason in ("unreadable", "damaged")
    assert found.drops[0].detail.startswith(".git: ")


def test_a_ref_that_loops_ends(repo):
    commit(repo, SAID, a__py="x = 1\n")
    (repo / ".git/refs/heads/main").write_text("ref: refs/heads/main\n")
    assert commits(repo).reasons == {"unreadable": 1}


def test_damaged_objects_are_drops(repo):
    for n in range(12):
        commit(repo, f"Change the number to {n}", when=n, a__py=f"x = {n}\n" * 20)
    objects = [p for p in (repo / ".git/objects").rglob("*") if p.is_file()]
    chance = random.Random(2)
    for _ in range(15):
        victim = chance.choice(objects)
        before = victim.read_bytes()
        data = bytearray(before)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        victim.chmod(0o644)
        victim.write_bytes(chance.choice([bytes(data), before[: len(before) // 2], b""]))
        found = commits(repo)
        assert set(found.reasons) <= {"damaged"}
        victim.write_bytes(before)
    assert commits(repo).kept == 12


def test_a_huge_file_and_message_stay_in_bounds(repo):
    commit(repo, SAID, a__py="x = 1\n", big__py="y = 1\n" * 300_000)
    commit(repo, f"{SAID}\n\n" + "more words of it " * 100_000, a__py="x = 2\n")
    found = commits(repo)
    assert [len(pair.query) <= 2_000 for pair in found.pairs] == [True, True]
    assert "big.py" not in found.pairs[1].positives[0].text


def test_without_git_it_says_so(repo, monkeypatch):
    commit(repo, SAID, a__py="x = 1\n")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(ValueError, match="executable `git` is not installed"):
        CodeHarvest(path=str(repo)).check()
    CodeHarvest(path=str(repo), commits=False).check()


def test_a_failing_git_is_an_error_not_a_hang(repo):
    commit(repo, SAID, a__py="x = 1\n")
    source = code_git.opened(repo / ".git", "x")
    (found,) = code_git.read_commits(source, ["0" * 40], lambda _: None)
    assert (found.reason, bool(found.detail)) == ("damaged", True)
