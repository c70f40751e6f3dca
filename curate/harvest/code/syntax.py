"""Definitions with a doc comment in front of them, in languages that tree-sitter parses.

It reads 4 to 9 MB/s a core. What grows with the square of its input is refused (`too_deep`): the
work of the parser on `a<a<a<...` by counting beforehand, the rest by its memory and its time.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from curate.harvest.code.comments import text_of
from curate.harvest.code.definitions import indented
from curate.harvest.code.grammars import COMMENTS, GRAMMARS, Grammar, parser

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

MAX_FILE_BYTES = 1_000_000
"""A larger file is generated, or data."""
MAX_PARSE_BYTES = 256 << 20
MAX_PARSE_SECONDS = 30.0
_MAX_ANGLES = 4_000_000
_HARMLESS_BYTES = 1 << 16
_READ_BYTES = 1 << 14
_MAX_WRAPPERS = 6


class TooDeepError(Exception):
    """Parsing a file would take too much memory or time."""


@dataclass(frozen=True, slots=True)
class Documented:
    """A definition with a doc comment.

    :param comment: the doc comment without its marks.
    :param code: the definition without it; None if it is longer than the limit.
    :param fault: `no_code` if its body is empty, `syntax_error` if it does not parse.
    """

    qualname: str
    line: int
    comment: str
    code: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class _Definition:
    """A node that defines something.

    :param outer: the node that holds it with all that belongs to it (`export`, `template<..>`).
    """

    outer: Node
    node: Node
    name: str
    body: Node | None
    is_class: bool


@dataclass(frozen=True, slots=True)
class _Owner:
    """The class around a method: its first line, and its last."""

    first: str
    last: str = "}"
    indent: str = "    "


def documented(data: bytes, language: str, max_chars: int) -> list[Documented]:
    """Return the documented definitions of a file in their order.

    :param data: the file in UTF-8.
    :raises TooDeepError: if it cannot be parsed within bounds.
    :raises MissingExtraError: if tree-sitter or the grammar is not installed.
    """
    grammar = GRAMMARS[language]
    marks = [found.start() for found in grammar.doc.finditer(data)]
    if not marks:
        return []
    tree = _parse(data, language)
    found = _Reader(data, grammar, marks, max_chars).read(tree.root_node)
    return [definition for _, definition in sorted(found, key=lambda pair: pair[0])]


# --- parsing --------------------------------------------------------------------------------------

_ANGLES = re.compile(rb"[<>;{}]")


def _parse(data: bytes, language: str) -> Tree:
    if _angles(data) > _MAX_ANGLES:
        raise TooDeepError("nested too deeply")
    if len(data) <= _HARMLESS_BYTES:
        return parser(language).parse(data)
    memory = psutil.Process().memory_info
    limit, deadline = memory().rss + MAX_PARSE_BYTES, time.monotonic() + MAX_PARSE_SECONDS
    stopped = False

    def read(offset: int, _: object) -> bytes:
        nonlocal stopped
        stopped = stopped or memory().rss > limit or time.monotonic() > deadline
        return b"" if stopped else data[offset : offset + _READ_BYTES]

    tree = parser(language).parse(read)
    if stopped or tree is None:
        raise TooDeepError("takes too much to parse")
    return tree


def _angles(data: bytes) -> int:
    """Return what `<` without `>` cost a parser that holds them for type arguments: depth squared."""
    total = depth = deepest = 0
    for found in _ANGLES.finditer(data):
        sign = data[found.start()]
        if sign == 0x3C:
            depth += 1
            deepest = max(deepest, depth)
        elif sign == 0x3E:
            depth = max(0, depth - 1)
        else:
            total += deepest * deepest
            depth = deepest = 0
    return total + deepest * deepest


# --- finding --------------------------------------------------------------------------------------


class _Reader:
    """Finds the documented definitions of one file.

    :param marks: where doc comments may begin; what holds none is not walked through.
    """

    def __init__(self, data: bytes, grammar: Grammar, marks: list[int], max_chars: int) -> None:
        self.data, self.grammar, self.marks, self.max_chars = data, grammar, marks, max_chars
        self.holders = {node: (name, value) for node, name, value in grammar.holders}
        kinds = grammar.functions | grammar.classes | set(self.holders)
        self.kinds, self.steps = kinds, kinds | grammar.wrappers

    def read(self, root: Node) -> Iterator[tuple[int, Documented]]:
        """Yield definitions with where they begin, by an explicit stack: trees may be deep."""
        stack: list[tuple[Node, _Owner | None, str]] = [(root, None, "")]
        while stack:
            node, owner, prefix = stack.pop()
            for run, child, definition in self._items(node):
                kept = False
                if definition and (comments := self._doc(run, definition.outer)):
                    made = self._documented(definition, run, comments, owner, prefix)
                    kept = made.code is not None
                    yield definition.outer.start_byte, made
                if not self._has_marks(child) or not self._is_open(child, definition, kept):
                    continue
                if definition and definition.node == child:
                    inner = self._owner(definition) if definition.is_class else None
                    stack.append((child, inner or owner, f"{prefix}{definition.name}."))
                else:  # in what stands around a definition it is met as itself
                    stack.append((child, owner, prefix))

    def _is_open(self, child: Node, definition: _Definition | None, kept: bool) -> bool:
        """Tell whether definitions are to be looked for inside a node."""
        if definition is None or definition.outer != child or definition.is_class:
            return True
        return self.grammar.inner and not kept

    def _has_marks(self, node: Node) -> bool:
        at = bisect_left(self.marks, node.start_byte)
        return at < len(self.marks) and self.marks[at] < node.end_byte

    def _items(self, node: Node) -> Iterator[tuple[list[Node], Node, _Definition | None]]:
        """Yield the children of a node, each with the comments and attributes in front of it."""
        run: list[Node] = []
        for child in node.children:
            if child.type in COMMENTS or child.type in self.grammar.attributes:
                run.append(child)
            else:
                yield run, child, self._definition(child)
                run = []

    def _doc(self, run: list[Node], outer: Node) -> list[Node]:
        """Return the doc comments in front of a definition, with no blank line between them."""
        found: list[Node] = []
        end, attached = outer.start_byte, True
        for node in reversed(run):
            between = self.data[node.end_byte : end]
            text = self.data[node.start_byte : node.end_byte]
            newlines = between.count(b"\n") + text.endswith(b"\n")
            attached = newlines < 2 and attached and not self._trails(node)
            if not attached:
                break
            end = node.start_byte
            if node.type in COMMENTS and self.grammar.doc.match(text):
                if found and (text.startswith(b"/*") or self._text(found[-1]).startswith("/*")):
                    break
                found.append(node)
        return found[::-1]

    def _trails(self, node: Node) -> bool:
        """Tell whether a comment stands behind something on its line."""
        line = self.data.rfind(b"\n", 0, node.start_byte) + 1
        return bool(self.data[line : node.start_byte].strip(b" \t\r{(,;"))

    def _definition(self, child: Node) -> _Definition | None:
        """Return what a node defines, looking through what stands around it."""
        if child.type == "body_statement":  # of Ruby: its first comment stands in front of it
            child = child.named_children[0] if child.named_child_count else child
        node: Node | None = child
        for _ in range(_MAX_WRAPPERS):
            if node is None or node.type not in self.steps:
                return None
            if node.type in self.kinds:
                return self._named(child, node)
            if node.child_count > 1 and node.children[1].type == "(":  # `type (...)` of Go: several
                return None
            node = next((inner for inner in node.named_children if inner.type in self.steps), None)
        return None

    def _named(self, outer: Node, node: Node) -> _Definition | None:
        name = node.child_by_field_name("name")
        if node.type in self.holders:
            name_field, value_field = self.holders[node.type]
            name = node.child_by_field_name(name_field)
            value = _function_in(node.child_by_field_name(value_field))
            if value is None:
                return None
            inner = value.child_by_field_name("body") or value
            return _Definition(outer, node, self._name(name), inner, value.type == "class")
        body = node.child_by_field_name(self.grammar.body) or node.child_by_field_name("body")
        is_class = node.type in self.grammar.classes
        if is_class and (body is None or body.type in _NO_BODIES):
            return None
        name = name or _declared(node) or _declared(outer)
        if node.type == "macro_definition":
            body = node
        return _Definition(outer, node, self._name(name), body, is_class)

    def _name(self, node: Node | None) -> str:
        return " ".join(self._text(node).split())[:200] if node else "<anonymous>"

    def _text(self, node: Node) -> str:
        return self.data[node.start_byte : node.end_byte].decode("utf-8", "replace")

    # --- what is kept of them ---

    def _documented(
        self,
        definition: _Definition,
        run: list[Node],
        comments: list[Node],
        owner: _Owner | None,
        prefix: str,
    ) -> Documented:
        node, body = definition.outer, definition.body
        after = comments[-1].start_byte
        attributes = [n for n in run if n.type not in COMMENTS and n.start_byte > after]
        start = attributes[0].start_byte if attributes else node.start_byte
        code = self._code(start, definition, owner)
        fault = None
        if node.has_error:
            fault = "syntax_error"
        elif body is None or _is_empty(body):
            fault = "no_code"
        comment = text_of([self._text(comment) for comment in comments])
        name = f"{prefix}{definition.name}"
        return Documented(name, node.start_point[0] + 1, comment, code, fault)

    def _code(self, start: int, definition: _Definition, owner: _Owner | None) -> str | None:
        edits = self._outline(definition) if definition.is_class else []
        parts, at = [], start
        for left, right, replacement in edits:
            parts += [self.data[at:left], replacement]
            at = right
        parts.append(self.data[at : definition.outer.end_byte])
        if sum(map(len, parts)) > 4 * self.max_chars:
            return None
        line = self.data.rfind(b"\n", 0, start) + 1
        before = self.data[line:start].decode("utf-8", "replace")
        indent = before if not before.strip() else before[: len(before) - len(before.lstrip())]
        code = b"".join(parts).decode("utf-8", "replace").rstrip()
        if owner is None:
            code = indented(code, indent, "")
        else:
            code = f"{owner.first}\n{indented(code, indent, owner.indent)}\n{owner.last}"
        return code if len(code) <= self.max_chars else None

    def _outline(self, definition: _Definition) -> list[tuple[int, int, bytes]]:
        """Return the edits that leave of a class its own statements and its members' signatures.

        A class without statements of its own keeps the bodies: signatures seldom say what it is for.
        """
        edits: list[tuple[int, int, bytes]] = []
        assert definition.body is not None
        bare = self._is_bare(definition.body)
        for holder in (definition.node, definition.body):
            for run, child, member in self._items(holder):
                if child == definition.body and child.type != "body_statement":
                    continue
                if member is None or member.body is None or member.node == definition.node:
                    continue
                for comment in self._doc(run, member.outer):
                    edits.append((*self._lines_of(comment, member.outer.start_byte), b""))
                body = member.body
                if not bare:
                    edits.append((body.start_byte, body.end_byte, self._elided(body)))
        return _apart(edits)

    def _is_bare(self, body: Node) -> bool:
        """Tell whether a class holds nothing but functions and classes."""
        return all(
            member is not None and member.body is not None
            for _, child, member in self._items(body)
            if child.is_named and child.type not in _SAYS_NOTHING
        )

    def _lines_of(self, comment: Node, limit: int) -> tuple[int, int]:
        """Return where a comment stands, with the blanks up to what follows it."""
        end = comment.end_byte
        while end < limit and self.data[end] in b" \t\r\n":
            end += 1
        return comment.start_byte, end

    def _elided(self, body: Node) -> bytes:
        text = self.data[body.start_byte : body.start_byte + 2]
        if text.startswith(b"{"):
            return b"{ ... }"
        return b"=> ..." if text == b"=>" else b"..."

    def _owner(self, definition: _Definition) -> _Owner:
        """Return the line that a method stands under: without it `get(key)` says too little."""
        node, body = definition.node, definition.body
        if node.type in {"class", "module"} and body is not None and body.type == "body_statement":
            return _Owner(f"{node.type} {definition.name}", "end", "  ")
        if node.type == "impl_item":
            end = body.start_byte if body else node.end_byte
            header = self.data[node.start_byte : min(end, node.start_byte + 200)]
            return _Owner(f"{' '.join(header.decode('utf-8', 'replace').split())} {{")
        word = node.type.removeprefix("abstract_").partition("_")[0]
        word = "class" if word in {"variable", "assignment", "pair"} else word
        return _Owner(f"{word} {definition.name} {{")


_SAYS_NOTHING = {"access_specifier", "empty_statement"}
_NO_BODIES = {
    "type_identifier",
    "pointer_type",
    "qualified_type",
    "function_type",
    "map_type",
    "slice_type",
    "array_type",
    "channel_type",
    "generic_type",
    "parenthesized_type",
}
"""What a type of Go is defined to be where it has no members."""
_FUNCTIONS = {
    "function_expression",
    "generator_function",
    "arrow_function",
    "function",
    "class",
}
_BRACKETS = {"parenthesized_expression"}


def _function_in(value: Node | None) -> Node | None:
    """Return the function that a value is, calls (`(function () {..}())`) or is handed to."""
    for _ in range(_MAX_WRAPPERS):
        if value is None or value.type in _FUNCTIONS:
            return value
        if value.type == "parenthesized_expression":
            value = value.named_children[0] if value.named_child_count else None
        elif value.type == "call_expression":
            arguments = value.child_by_field_name("arguments")
            called = value.child_by_field_name("function")
            given = [called, *(arguments.named_children if arguments else [])]
            value = next((n for n in given if n and n.type in {*_FUNCTIONS, *_BRACKETS}), None)
        else:
            return None
    return None


def _declared(node: Node) -> Node | None:
    """Return the name inside the declarators of C and C++, or the type that Rust implements."""
    named = node.child_by_field_name("type") if node.type == "impl_item" else None
    inner = node.child_by_field_name("declarator")
    for _ in range(2 * _MAX_WRAPPERS):
        if inner is None:
            break
        named, inner = inner, inner.child_by_field_name("declarator")
    return named


def _is_empty(body: Node) -> bool:
    """Tell whether there is nothing in a body but comments."""
    if body.named_child_count:
        return all(child.type in COMMENTS for child in body.named_children)
    return body.child_count > 0


def _apart(edits: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Sort edits and leave out those inside others."""
    result: list[tuple[int, int, bytes]] = []
    for edit in sorted(edits, key=lambda edit: edit[:2]):
        if not result or edit[0] >= result[-1][1]:
            result.append(edit)
    return result
