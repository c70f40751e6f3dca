"""Python code by `ast`: its definitions, their text without docstrings, and the prose of docstrings.

Nothing that is read is imported or run. Parsing is most of the time; it is 2.4 times as fast (6 MB/s a
core) with the garbage collector switched off, which is safe for one file at a time because syntax trees
have no cycles.
"""

from __future__ import annotations

import ast
import gc
import inspect
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

MAX_FILE_BYTES = 8_000_000
"""A larger file is data rather than code; parsing takes about 30 times its size in memory."""
MAX_QUERY_CHARS = 2_000

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")

SKIP_PYTHON = (
    "*/tests/*",
    "*/test/*",
    "*/testing/_internal/*",
    "*/idle_test/*",
    "*/test_*.py",
    "*/conftest.py",
    "*/_vendor/*",
    "*/_vendored/*",
    "*/externals/*",
    "*/extern/*",
    "*/third_party/*",
)
"""Globs of tests and of what others wrote, matched against `/package/module.py`."""

WHY = {
    "no_code": "nothing but pass, ... or a docstring",
    "short_summary": "the docstring has no summary, or a short one",
    "long_code": "the code is longer than max_chars",
}
"""Why a definition is dropped, by reason."""


class UnparsedError(Exception):
    """A file is not Python that can be parsed.

    :param reason: `syntax_error` or `too_deep`.
    :param at: the line behind a colon, or nothing.
    """

    def __init__(self, reason: str, at: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.at = reason, at


def decode(data: bytes) -> str:
    """Decode a source file: its declared encoding, all line ends as newlines.

    :raises SyntaxError, ValueError, LookupError: if it is too large or cannot be decoded.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def fault(error: Exception) -> str:
    """Say what is wrong without naming a place on this machine, as `OSError` does."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return error.msg if isinstance(error, SyntaxError) else str(error)


def parse(text: str) -> ast.Module:
    """Parse a source file, silently.

    :raises UnparsedError: if it is not Python, or nested too deeply.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UnparsedError("syntax_error", f":{line}", fault(error)) from None
    except (RecursionError, MemoryError):
        raise UnparsedError("too_deep", "", "nested too deeply") from None


@contextmanager
def collector_off() -> Iterator[None]:
    """Switch the garbage collector off while one file is read, and leave it as it was."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def has_definitions(text: str) -> bool:
    """Tell, without parsing, whether a file can define anything."""
    return "def " in text or "class " in text


def reason_against(
    node: Definition, query: str | None, code: str, min_query_chars: int, max_chars: int
) -> str | None:
    """Return why a definition is no training data (a key of `WHY`); None if it is."""
    if all(map(_is_stub, node.body)):
        return "no_code"
    if query is not None and len(query) < min_query_chars:
        return "short_summary"
    return "long_code" if len(code) > max_chars else None


def is_bare(node: Definition) -> bool:
    """Tell whether a class holds nothing but functions and classes, so that its outline has no body."""
    return isinstance(node, ast.ClassDef) and all(
        isinstance(item, _DEFINITIONS) or _is_stub(item) for item in node.body
    )


def definitions(tree: ast.Module) -> Iterator[tuple[Definition, ast.ClassDef | None, str]]:
    """Yield functions, classes and methods in their order, with owning class and qualified name.

    An explicit stack, for a chain of `elif` is as deep as it is long.
    """
    stack: list[tuple[ast.AST, ast.ClassDef | None, str]] = [(tree, None, "")]
    while stack:
        node, owner, prefix = stack.pop()
        if isinstance(node, _DEFINITIONS):
            yield node, owner, prefix + node.name
            if not isinstance(node, ast.ClassDef):
                continue
            owner, prefix = node, f"{prefix}{node.name}."
        children = [child for block in _BLOCKS for child in getattr(node, block, ())]
        stack.extend((child, owner, prefix) for child in reversed(children))


def _is_stub(statement: ast.stmt) -> bool:
    """Tell whether a statement does nothing: `pass`, `...`, a string, another constant."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)


_SAME_LINE = re.compile(r"[ \t\f]*;?[ \t\f]*(?:#[^\n]*)?")
_LINE_ENDS = re.compile(r"(?:[ \t\f]*\n)+")
_Edit = tuple[int, int, str]


class Text:
    """A source file whose definitions can be cut out; positions of `ast` are bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.starts = [0, *accumulate(len(line) + 1 for line in self.lines)]

    def at(self, line: int, column: int) -> int:
        """Return the offset of a position that `ast` gives (line from 1, column in bytes)."""
        row = self.lines[line - 1]
        if not row.isascii():
            column = len(row.encode()[:column].decode())
        return self.starts[line - 1] + column

    def start(self, node: ast.stmt) -> int:
        """Return the offset of a statement; a decorated one starts at its first `@`."""
        decorators = getattr(node, "decorator_list", None)
        if decorators:
            first = decorators[0]
            return self.text.rindex("@", 0, self.at(first.lineno, first.col_offset))
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.end_lineno, node.end_col_offset)

    def lines_of(self, node: Definition) -> int:
        first = node.decorator_list[0] if node.decorator_list else node
        return (node.end_lineno or node.lineno) - first.lineno + 1

    def code(
        self, node: Definition, owner: ast.ClassDef | None, *, bare_whole: bool = False
    ) -> str:
        """Return the code of a definition without its docstring (see `PythonHarvest`).

        :param bare_whole: give a class that holds nothing but functions with their bodies.
        """
        edits: list[_Edit] = []
        if ast.get_docstring(node, clean=False) is not None:
            edits.append(self._docstring(node.body[0]))
        if isinstance(node, ast.ClassDef):
            members = [item for item in node.body if isinstance(item, _DEFINITIONS)]
            if bare_whole and is_bare(node):
                edits += [edit for item in members for edit in self._undocumented(item)]
            else:
                edits += [self._elided(item) for item in members]
        start = self.start(node)
        indent = self.text[self.text.rfind("\n", 0, start) + 1 : start]
        assert node.end_lineno is not None
        code = self._edited(start, self.starts[node.end_lineno] - 1, edits)
        if owner is None:
            return plain(indented(code, indent, ""))
        return plain(f"class {owner.name}:\n{indented(code, indent, '    ')}")

    def _edited(self, start: int, end: int, edits: list[_Edit]) -> str:
        parts = []
        for left, right, replacement in edits:
            parts += [self.text[start:left], replacement]
            start = right
        return "".join([*parts, self.text[start:end]]).rstrip()

    def _docstring(self, statement: ast.stmt) -> _Edit:
        """Take out a docstring with its trailing comment, and the lines that this leaves blank."""
        left, right = self.start(statement), self.end(statement)
        line = self.text.rfind("\n", 0, left) + 1
        after = _SAME_LINE.match(self.text, right)
        assert after is not None
        ends = _LINE_ENDS.match(self.text, after.end())
        if ends and not self.text[line:left].strip():
            return line, ends.end(), ""
        return left, after.end(), ""

    def _undocumented(self, node: Definition) -> Iterator[_Edit]:
        """Take out the docstring, where it is not all there is."""
        if ast.get_docstring(node, clean=False) is not None:
            yield self._docstring(node.body[0]) if node.body[1:] else self._elided(node)

    def _elided(self, node: Definition) -> _Edit:
        """Replace the body by `...`, on the line of the signature unless a comment is there."""
        left = colon = self.start(node.body[0])
        while self.text[colon - 1].isspace():
            colon -= 1
        line = self.text[self.text.rfind("\n", 0, colon) + 1 : colon]
        if line.endswith(":") and "#" not in line:
            return colon, self.end(node), " ..."
        return left, self.end(node), "..."


def indented(code: str, old: str, new: str) -> str:
    """Exchange the indentation; a line inside a string that lacks the old one stays as it is."""
    if old == new:
        return new + code
    lines = code.split("\n")
    rest = [new + line[len(old) :] if line.startswith(old) else line for line in lines[1:]]
    return "\n".join([new + lines[0], *rest])


# --- prose ----------------------------------------------------------------------------------------

_PARAGRAPHS = re.compile(r"\n\s*\n")
_SIGNATURE = re.compile(r"[\w.]+\(.*\)[ \t]*(?:->.*|=.*|:)?(?:\n|$)")
_NOT_PROSE = re.compile(
    r"""\.\.\s|!!!\s    # a directive of reST or Markdown
    | \{\w+\}|%\(\w+\)s  # a template's gap
    | [^\w`'"*(\[<{]*$  # rules and other punctuation
    """,
    re.VERBOSE,
)
_SECTION = re.compile(
    r"""^[ \t]*(?:
      (?:Args|Arguments|Parameters?|Params|Attributes|Returns?|Yields?|Raises|Examples?|Notes?
         |Usage|See\ Also|References|Warnings?|Keyword\ Args|Other\ Parameters):?[ \t]*$
    | [:@](?:param|type|returns?|rtype|raises?|arg|ivar|cvar|var|keyword)\b
    | \*{0,2}\w+[ ]\(.*\):  # a parameter as Google and Hugging Face write it
    | >>>[ ]
    | \.\.[ ]\w
    )""",
    re.VERBOSE | re.MULTILINE,
)
RULE = re.compile(r"^[ \t]*[=\-~*^#]{3,}[ \t]*$", re.MULTILINE)


def summary_of(docstring: str) -> str:
    """Return the first paragraph of prose, on one line; "" if a section or an example comes first.

    Signatures, rules and directives before it are passed over. It ends where a section of arguments
    or an example starts without a blank line. Roles and other markup stay as they are.
    """
    for paragraph in _PARAGRAPHS.split(inspect.cleandoc(docstring)):
        section = _SECTION.search(paragraph)
        prose = paragraph[: section.start()] if section else paragraph
        prose = next((part for part in RULE.split(prose) if part.strip()), "").strip()
        prose = _SIGNATURE.sub("", prose, count=1) if _SIGNATURE.match(prose) else prose
        words = " ".join(prose.split())
        if words and not _NOT_PROSE.match(words):
            return plain(words[:MAX_QUERY_CHARS])
        if section and not paragraph.lstrip().startswith(".. "):
            return ""
    return ""


def plain(text: str) -> str:
    """Replace lone surrogates, which UTF-8 and so Arrow refuse, by `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
