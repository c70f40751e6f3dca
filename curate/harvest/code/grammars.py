"""What the syntax trees of ten languages call definitions, comments, and what stands around them."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from curate.errors import MissingExtraError

if TYPE_CHECKING:
    import tree_sitter


@dataclass(frozen=True)
class Grammar:
    """How a language writes definitions and their doc comments.

    :param module: the package that holds the tree-sitter grammar.
    :param doc: what a doc comment begins with.
    :param functions: nodes that define a function or a method.
    :param classes: nodes that define what has members.
    :param wrappers: nodes that stand around one definition and belong to it (`export`, `template<..>`).
    :param holders: nodes that give a name to a function, with the field of the name and of the value.
    :param attributes: nodes that may stand between a doc comment and its definition.
    :param inner: whether functions inside functions are definitions of their own.
    :param function: the function of the package that gives the grammar.
    :param body: the field that holds the body of a definition.
    """

    module: str
    doc: re.Pattern[bytes]
    functions: frozenset[str]
    classes: frozenset[str]
    wrappers: frozenset[str] = frozenset()
    holders: tuple[tuple[str, str, str], ...] = ()
    attributes: frozenset[str] = frozenset()
    inner: bool = False
    function: str = "language"
    body: str = "body"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMENTS = _words("comment line_comment block_comment doc_comment")

_JAVADOC = re.compile(rb"/\*\*(?![*/])")
_RUSTDOC = re.compile(rb"///(?!/)|/\*\*(?![*/])")
_XMLDOC = re.compile(rb"///(?!/)|/\*\*(?![*/])")
_DOXYGEN = re.compile(rb"/\*[*!](?![*/])|//[/!](?!/)")
_ANY_SLASH = re.compile(rb"//|/\*")
_ANY_HASH = re.compile(rb"#|=begin")

_SCRIPT_HOLDERS = (
    ("variable_declarator", "name", "value"),
    ("assignment_expression", "left", "right"),
    ("pair", "key", "value"),
    ("field_definition", "property", "value"),
    ("public_field_definition", "name", "value"),
)
_SCRIPT_FUNCTIONS = _words("function_declaration generator_function_declaration method_definition")
_SCRIPT_WRAPPERS = _words(
    "export_statement lexical_declaration variable_declaration expression_statement ambient_declaration"
)
_TYPESCRIPT = Grammar(
    "tree_sitter_typescript",
    _JAVADOC,
    _SCRIPT_FUNCTIONS,
    _words(
        "class_declaration abstract_class_declaration interface_declaration enum_declaration class"
    ),
    _SCRIPT_WRAPPERS,
    _SCRIPT_HOLDERS,
    _words("decorator"),
    inner=True,
    function="language_typescript",
)
_CPP = Grammar(
    "tree_sitter_cpp",
    _DOXYGEN,
    _words("function_definition"),
    _words("class_specifier struct_specifier union_specifier enum_specifier"),
    _words("template_declaration type_definition declaration field_declaration"),
)

GRAMMARS: dict[str, Grammar] = {
    "javascript": Grammar(
        "tree_sitter_javascript",
        _JAVADOC,
        _SCRIPT_FUNCTIONS,
        _words("class_declaration class"),
        _SCRIPT_WRAPPERS,
        _SCRIPT_HOLDERS,
        _words("decorator"),
        inner=True,
    ),
    "typescript": _TYPESCRIPT,
    "tsx": Grammar(**{**_TYPESCRIPT.__dict__, "function": "language_tsx"}),
    "java": Grammar(
        "tree_sitter_java",
        _JAVADOC,
        _words("method_declaration constructor_declaration compact_constructor_declaration"),
        _words(
            "class_declaration interface_declaration enum_declaration record_declaration"
            " annotation_type_declaration"
        ),
    ),
    "go": Grammar(
        "tree_sitter_go",
        _ANY_SLASH,
        _words("function_declaration method_declaration"),
        _words("type_spec"),
        _words("type_declaration"),
        body="type",
    ),
    "rust": Grammar(
        "tree_sitter_rust",
        _RUSTDOC,
        _words("function_item macro_definition"),
        _words("struct_item enum_item union_item trait_item impl_item"),
        attributes=_words("attribute_item"),
    ),
    "c": Grammar(
        "tree_sitter_c",
        _DOXYGEN,
        _words("function_definition"),
        _words("struct_specifier union_specifier enum_specifier"),
        _words("type_definition declaration"),
    ),
    "cpp": _CPP,
    "csharp": Grammar(
        "tree_sitter_c_sharp",
        _XMLDOC,
        _words(
            "method_declaration constructor_declaration operator_declaration"
            " conversion_operator_declaration"
        ),
        _words(
            "class_declaration struct_declaration interface_declaration record_declaration"
            " enum_declaration"
        ),
    ),
    "ruby": Grammar(
        "tree_sitter_ruby", _ANY_HASH, _words("method singleton_method"), _words("class module")
    ),
    "php": Grammar(
        "tree_sitter_php",
        _JAVADOC,
        _words("function_definition method_declaration"),
        _words("class_declaration interface_declaration trait_declaration enum_declaration"),
        function="language_php",
    ),
}

SUFFIXES = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "tsx",
    ".java": "java",
    ".go": "go",
    ".rs": "rust",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".hh": "cpp",
    ".hxx": "cpp",
    ".cs": "csharp",
    ".rb": "ruby",
    ".php": "php",
}
"""The grammar by a file's suffix; `header_language` decides between C and C++ for `.h`."""

NAMES = {"tsx": "typescript"}
"""The language of a grammar, where it is called otherwise."""

_CPP_WORDS = re.compile(
    rb"^[ \t]*(?:class\s+\w|namespace\b|template\s*<|public:|private:|using\s+\w)", re.MULTILINE
)


def language_of(path: str) -> str | None:
    """Return the grammar of a file by its suffix; None if it is no code."""
    dot = path.rfind(".")
    return SUFFIXES.get(path[dot:].lower()) if dot > path.rfind("/") else None


def header_language(data: bytes) -> str:
    """Tell a header of C++ from one of C."""
    return "cpp" if _CPP_WORDS.search(data) else "c"


@cache
def parser(language: str) -> tree_sitter.Parser:
    """Return the parser of a grammar.

    :raises MissingExtraError: if tree-sitter or the grammar is not installed.
    """
    grammar = GRAMMARS[language]
    try:
        import tree_sitter

        module = importlib.import_module(grammar.module)
    except ImportError:
        raise MissingExtraError(grammar.module.replace("_", "-"), "harvest") from None
    return tree_sitter.Parser(tree_sitter.Language(getattr(module, grammar.function)()))
