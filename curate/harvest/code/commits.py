"""What of a commit is training data: its message without trailers, its diff without what is generated."""

from __future__ import annotations

import re

from curate.harvest.code.definitions import MAX_QUERY_CHARS, plain
from curate.harvest.code.git import Commit
from curate.harvest.code.grammars import language_of

_BOT = re.compile(
    r"\[bot\]|\bbot\b|-bot\b|dependabot|renovate|greenkeeper|pre-commit-ci|github-actions"
    r"|semantic-release|weblate|transifex|crowdin|allcontributors|imgbot|mergify|bors\b",
    re.IGNORECASE,
)
_MERGE = re.compile(
    r"merged?\s+(?:branch|pull|pr|remote|tag|commit|in\b|#|from|upstream|master|main|'|\"|\S+\s+into)"
    r"|automerge|auto-merge|sync(?:ed|ing)?\s+(?:with|from|fork)",
    re.IGNORECASE,
)
_RELEASE = re.compile(
    r"""(?:\[\w{1,20}\]\s*|\w{1,20}(?:\([^)]{0,40}\))?!?:\s*)?(?:
      (?:this\ is\s+)?v?\d+\.\d+[\w.+-]*\s*$
    | (?:bump|upgrade|updat(?:e[sd]?|ing)|increment|set|change|new|start|prepare|up)\b.{0,40}
        \b(?:version|release|changelog|copyright|dependenc\w+|deps?|lock(?:file)?|submodules?)\b
    | bump(?:s|ed|ing)?\b | (?:pre-?)?releas(?:e|es|ed|ing)\s+(?:v(?:ersion)?\.?\s*)?\S*\d
    | (?:pre-?)?release\b.{0,20}$ | version\s+(?:bump|v?\d) | (?:upgrade|update)\ \S+\ (?:from|to)\ v?\d
    | .{0,40}\bchange-?log\W*$ | back\ to\ dev | next\ development\ (?:version|iteration)
    | \[maven-release-plugin\] | prepar(?:e|es|ed|ing)\s+(?:\S+\s+){0,2}(?:next|v?\d) | start\s+v?\d
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_NOISE_WORDS = (
    "wip fix fixed fixes fixup update updated updates clean cleaned cleanup tidy typo typos "
    "minor misc tweak tweaks changes more test tests testing oops small format formatting "
    "lint linting style nit nits review revert initial import first commit squash forgot "
    "stuff checkpoint save refactor refactored refactoring whitespace comment comments code "
    "doc docs things file files up again build ci error errors warning warnings readme and "
    "some the a it this feedback address apply suggestions suggestion from to for in of add "
    "added remove removed missing change changed version work progress another final last try "
)
_NOISE = frozenset(_NOISE_WORDS.split())
"""Words that say nothing of a change by themselves."""
_FILE_NAME = re.compile(r"[\w./-]{1,100}\.\w{1,5}")
_REVIEW = re.compile(
    r"(?:apply|address)(?:es|ed|ing)?\s(?:\w+\s)?(?:suggestions?|review|comments?|feedback)\b", re.I
)
_TRAILER = re.compile(
    r"^[ \t]*(?:[\w-]{1,30}-by|change-id|git-svn-id|cc|[\w-]{0,20}revid|bug|issue|differential revision"
    r"|reviewers|subscribers|tags|link|darcs-hash|refs?|fixes|closes|resolves|see also|pr-url|backport-of"
    r"|commit-id|upstream-commit|jira|conflicts|original-commit|auto-submit|commit-queue|reviewed-on|run-trybot)"
    r"[ \t]*:.*$|^\(cherry picked from commit.*$|^#.*$|^-{3,}$",
    re.MULTILINE | re.IGNORECASE,
)
_NUMBER = re.compile(
    r"[ \t]{0,9}\((?:gh|pr|closes|fixes|refs?)?[ -]?#\d+(?:, ?#\d+)*\)", re.IGNORECASE
)
_REFERENCE = re.compile(
    r"[\w./-]{0,80}#\d{1,9}|<?https?://\S+|\[\d{1,3}\]:?|(?:fix|close|resolve)(?:e?[sd])?|refs?|see|part|of"
    r"|and|also|issues?|[*-]",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"\n\s*\n+")
_GENERATED = re.compile(
    r"""(?:^|/)(?:package-lock\.json|yarn\.lock|pnpm-lock\.yaml|[\w.-]+\.lock|go\.sum|npm-shrinkwrap\.json
      |composer\.lock|gradle-wrapper\.\w+)$
    | \.(?:min\.(?:js|css|mjs)|map|svg|snap|pb\.go|po|pot|mo|csv|tsv|ipynb|designer\.cs|sum|bundle\.js)$
    | _pb2(?:_grpc)?\.pyi?$ | (?:^|/)(?:node_modules|vendor|third_party|dist|__snapshots__)/
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TESTS = re.compile(
    r"(?:^|/)(?:tests?|specs?|__tests__|testdata)/|(?:^|/)test_|_test\.|\.(?:test|spec)\."
)


def refusal(commit: Commit, min_chars: int) -> str | None:
    """Return why a commit is no training data, by what is known without its diff."""
    subject = commit.message.strip().partition("\n")[0]
    if commit.parents > 1 or _MERGE.match(subject):
        return "merge"
    if _BOT.search(commit.author):
        return "bot"
    if _RELEASE.match(subject):
        return "release"
    query = query_of(commit.message)
    if len(query) < min_chars or _says_nothing(query):
        return "short_message"
    return None


def _says_nothing(query: str) -> bool:
    if not query.isascii():
        return False  # words of other scripts are not set apart by blanks
    words = [word.strip(",:.!()[]'\"`-") for word in query.lower().split()]
    if len(words) < 3 or _REVIEW.match(query):
        return True
    return all(word in _NOISE or _FILE_NAME.fullmatch(word) for word in words)


def query_of(message: str) -> str:
    """Return subject and body of a message without trailers, numbers of issues and bare addresses."""
    message = message[: 4 * MAX_QUERY_CHARS].replace("\r\n", "\n").replace("\0", "").strip()
    subject, _, body = message.partition("\n")
    lines = _TRAILER.sub("", body).split("\n")
    body = "\n".join(line for line in lines if not _is_reference(line))
    body = _BLANKS.sub("\n\n", body).strip()
    subject = _NUMBER.sub("", subject).lstrip("-*. ").strip()
    text = f"{subject}\n\n{body}" if body else subject
    return plain(text[:MAX_QUERY_CHARS].strip())


def _is_reference(line: str) -> bool:
    """Tell whether a line only names issues and addresses."""
    words = [word.rstrip(",.:;>") for word in line.split()]
    return bool(words) and all(_REFERENCE.fullmatch(word) for word in words)


def passage_of(diff: list[tuple[str, str]], limit: int) -> str | None:
    """Return a diff of at most `limit` characters, source code first; None if all is generated.

    A diff that is longer is cut at the end of a line.
    """
    kept = [(path, text) for path, text in diff if not _is_no_source(path, text)]
    if not kept:
        return None
    ordered = sorted(kept, key=lambda section: _rank(section[0]))  # stable: else as git gives them
    text = "\n".join(part.replace("\r\n", "\n").rstrip("\n") for _, part in ordered)
    if len(text) > limit:
        text = text[: text.rfind("\n", 0, limit + 1)] if "\n" in text[: limit + 1] else text[:limit]
    return plain(text.strip())


def _is_no_source(path: str, text: str) -> bool:
    return bool(_GENERATED.search(path)) or "\0" in text or "Subproject commit " in text[:400]


def _rank(path: str) -> int:
    if language_of(path) is None:
        return 2
    return 1 if _TESTS.search(path) else 0
