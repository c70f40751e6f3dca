"""`harvest.code` on sources written here, in every language, and on real packages."""

import io
import json
import os
import random
import re
import tarfile
import textwrap
import time
import tokenize
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.harvest.code.comments import cleaned, is_query, prose_of, text_of
from curate.harvest.code.grammars import GRAMMARS
from curate.harvest.code.source import CodeHarvest
from curate.schema import to_table
from tests.harvest.reading import harvested


def of(folder: Path, **settings):
    return harvested(CodeHarvest(path=str(folder), **settings))


def read(tmp_path: Path, name: str, text: str | bytes, **settings):
    data = text if isinstance(text, bytes) else textwrap.dedent(text).lstrip("\n").encode()
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(data)
    return of(tmp_path, **settings)


def texts(found) -> dict[str, str]:
    return {pair.query: pair.positives[0].text for pair in found.pairs}


def lines(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


# --- languages ---


def test_python(tmp_path):
    found = read(
        tmp_path,
        "pkg/mod.py",
        '''
        class Stack:
            """A pile of :class:`things <Thing>`, see `the docs <https://x.org>`_."""

            def pop(self):
                """Take the *top* thing, or ``None``.

                :return: a thing.
                """
                return self.things.pop()

            def size(self):
                """How many there are."""
                raise NotImplementedError

            def plain(self):
                return 1
        ''',
    )
    assert texts(found) == {
        "A pile of things, see the docs.": lines(
            """
            class Stack:
                def pop(self):
                    return self.things.pop()

                def size(self):
                    raise NotImplementedError

                def plain(self):
                    return 1
            """
        ),
        "Take the top thing, or None.": lines(
            """
            class Stack:
                def pop(self):
                    return self.things.pop()
            """
        ),
    }
    assert found.reasons == {"no_code": 1}
    pair = found.pairs[0]
    assert (pair.kind, pair.source, pair.group) == ("docstring-code", "code/python", "pkg")
    assert (pair.license, pair.url, pair.language) == ("NOASSERTION", None, None)
    facts = {"path": "pkg/mod.py", "line": 1, "qualname": "Stack", "language": "python"}
    assert json.loads(pair.meta) == facts


def test_javascript(tmp_path):
    found = read(
        tmp_path,
        "a.js",
        """
        ;(function() {
          /**
           * Adds two numbers, as {@link _.add} does. See [here](http://x).
           *
           * @private
           * @param {number} a The first.
           */
          function add(a, b) {
            return a + b; // kept
          }

          /** Wraps `func` so that it waits. */
          var debounced = debounce(function(func) { return func(); }, 10);

          /** Used for nothing but a number. */
          var INFINITY = 1 / 0;

          // Not a doc comment at all.
          function plain() { return 1; }

          /** A blank line is between us. */

          function apart() { return 1; }
        }.call(this));

        /** Copies what it is given. */
        module.exports.copy = (value) => ({ ...value });

        /** Holds some points in a plane. */
        export default class Points extends Base {
          /** Draws them all on a canvas. */
          draw(canvas) {
            canvas.draw(this);
          }
          hide() { this.canvas = null; }
        }

        const handlers = {
          /** Answers a click of the mouse. */
          click: function (event) { return event; },
        };
        """,
    )
    assert texts(found) == {
        "Adds two numbers, as _.add does. See here.": "function add(a, b) {\n  return a + b; // kept\n}",
        "Wraps func so that it waits.": (
            "var debounced = debounce(function(func) { return func(); }, 10);"
        ),
        "Copies what it is given.": "module.exports.copy = (value) => ({ ...value });",
        "Holds some points in a plane.": lines(
            """
            export default class Points extends Base {
              draw(canvas) {
                canvas.draw(this);
              }
              hide() { this.canvas = null; }
            }
            """
        ),
        "Draws them all on a canvas.": lines(
            """
            class Points {
                draw(canvas) {
                  canvas.draw(this);
                }
            }
            """
        ),
        "Answers a click of the mouse.": "click: function (event) { return event; }",
    }
    assert found.drops == []
    names = [json.loads(pair.meta)["qualname"] for pair in found.pairs]
    assert names == ["add", "debounced", "module.exports.copy", "Points", "Points.draw", "click"]


def test_a_function_too_long_is_looked_into(tmp_path):
    filler = "x = 1;\n" * 30
    code = f"/** The whole of the library. */\nfunction all() {{\n{filler}"
    code += "/** One of its functions. */\nfunction one() { return 1; }\n}\n"
    found = read(tmp_path, "a.js", code, max_chars=100)
    assert list(texts(found)) == ["One of its functions."]
    assert found.reasons == {"long_code": 1}


def test_typescript(tmp_path):
    found = read(
        tmp_path,
        "a.ts",
        """
        /** Draws {@code shapes}, {@link Shape|all of them}. */
        @Component({ selector: "x" })
        export abstract class Painter<T> implements Drawer {
          private size = 1;
          /** Paints one of the shapes. */
          protected paint(shape: T): void { this.size++; }
        }

        /** What a shape has to have. */
        export interface Shape { /** its name */ name: string }

        /** Only declared, not defined. */
        export function overload(a: string): void;
        """,
    )
    assert texts(found) == {
        "Draws shapes, all of them.": lines(
            """
            @Component({ selector: "x" })
            export abstract class Painter<T> implements Drawer {
              private size = 1;
              protected paint(shape: T): void { ... }
            }
            """
        ),
        "Paints one of the shapes.": lines(
            """
            class Painter {
                protected paint(shape: T): void { this.size++; }
            }
            """
        ),
        "What a shape has to have.": "export interface Shape { /** its name */ name: string }",
    }
    assert read(tmp_path, "b.tsx", "/** Shows a button. */\nconst B = () => <b>x</b>;").kept == 4


def test_java(tmp_path):
    found = read(
        tmp_path,
        "Pile.java",
        """
        package x;

        /**
         * A pile of <b>things</b>&nbsp;of {@link java.util.List a list}.
         *
         * <p>More of it.
         */
        public final class Pile<T> {
          private int size;

          /** Takes the thing at {@code index}. @since 3 */
          @Override
          public T take(int index) {
            return null;
          }

          /** {@inheritDoc} */
          public int size() { return size; }

          /** Only declared here, abstract. */
          abstract void left();
        }
        """,
    )
    assert texts(found) == {
        "A pile of things\xa0of a list.": lines(
            """
            public final class Pile<T> {
              private int size;

              @Override
              public T take(int index) { ... }

              public int size() { ... }

              /** Only declared here, abstract. */
              abstract void left();
            }
            """
        ),
        "Takes the thing at index. @since 3": lines(
            """
            class Pile {
                @Override
                public T take(int index) {
                  return null;
                }
            }
            """
        ),
    }
    assert found.reasons == {"short_summary": 1, "no_code": 1}


def test_go(tmp_path):
    found = read(
        tmp_path,
        "a.go",
        """
        // Copyright of someone.

        // Package a does things.
        package a

        // Pile is a pile of things.
        type Pile struct {
        ~// Size is its size.
        ~Size int // trailing
        }

        type (
        ~// Other is one of a group.
        ~Other interface{ X() }
        )

        // Celsius is a number with a name.
        type Celsius float64

        var x = 1 // trails what is before
        func trailed() int { return 1 }

        // Pop takes the top thing,
        // or nil.
        //
        // Deprecated: no more.
        //
        //go:noinline
        func (p *Pile) Pop() *Thing {
        ~return p.pop()
        }

        //nolint:all
        func quiet() int { return 1 }
        """.replace("~", "\t"),
    )
    assert texts(found) == {
        "Pile is a pile of things.": lines(
            """
            type Pile struct {
            \t// Size is its size.
            \tSize int // trailing
            }
            """
        ),
        "Other is one of a group.": "Other interface{ X() }",
        "Pop takes the top thing, or nil.": ("func (p *Pile) Pop() *Thing {\n\treturn p.pop()\n}"),
    }
    assert found.reasons == {"short_summary": 1}


def test_rust(tmp_path):
    found = read(
        tmp_path,
        "a.rs",
        """
        /// A pile of [`Thing`]s, see [the docs](https://x.org).
        ///
        /// # Examples
        #[derive(Debug)]
        pub struct Pile { size: usize }

        impl<T> Pop for Pile<T> {
            /// Takes the top thing.
            #[inline]
            fn pop(&mut self) -> T { self.0.pop() }
        }

        //// Not a doc comment.
        fn plain() { x() }

        /// Makes a pile of its arguments.
        macro_rules! pile { ($x:expr) => { $x } }
        """,
    )
    assert texts(found) == {
        "A pile of Things, see the docs.": "#[derive(Debug)]\npub struct Pile { size: usize }",
        "Takes the top thing.": lines(
            """
            impl<T> Pop for Pile<T> {
                #[inline]
                fn pop(&mut self) -> T { self.0.pop() }
            }
            """
        ),
        "Makes a pile of its arguments.": "macro_rules! pile { ($x:expr) => { $x } }",
    }


def test_c(tmp_path):
    found = read(
        tmp_path,
        "a.c",
        r"""
        /*! \brief Adds two numbers \c a and b.
         *  \param a one
         */
        static int *add(int a, int b)
        {
            return a + b;
        }

        /**
         * pile_new: (constructor)
         * @size: its size, said
         *   on two lines
         *
         * Makes a new pile.
         */
        Pile *pile_new (int size) { return alloc (size); }

        /// A point in a plane.
        typedef struct { int x; } point_t;

        /** Only declared. */
        int later(void);
        """,
    )
    assert texts(found) == {
        "Adds two numbers a and b.": "static int *add(int a, int b)\n{\n    return a + b;\n}",
        "Makes a new pile.": "Pile *pile_new (int size) { return alloc (size); }",
        "A point in a plane.": "typedef struct { int x; } point_t;",
    }
    names = [json.loads(pair.meta)["qualname"] for pair in found.pairs]
    assert names == ["add", "pile_new", "point_t"]


def test_cpp_and_its_headers(tmp_path):
    found = read(
        tmp_path,
        "a.h",
        """
        namespace n {
        /** A pile of things. */
        template <class T> class Pile : public Base {
         public:
          /// Takes the top thing.
          T pop() const { return top; }
          T top;
        };
        /// Counts all the things.
        int Pile::count() { return 1; }
        }
        """,
    )
    assert texts(found) == {
        "A pile of things.": lines(
            """
            template <class T> class Pile : public Base {
             public:
              T pop() const { ... }
              T top;
            };
            """
        ),
        "Takes the top thing.": "class Pile {\n    T pop() const { return top; }\n}",
        "Counts all the things.": "int Pile::count() { return 1; }",
    }
    assert {pair.source for pair in found.pairs} == {"code/cpp"}


def test_csharp(tmp_path):
    found = read(
        tmp_path,
        "a.cs",
        """
        namespace N {
          /// <summary>
          /// A pile of <see cref="T:N.Thing"/> &amp; more.
          /// </summary>
          [Serializable]
          public class Pile {
            /// <summary>Takes <paramref name="index"/>.</summary>
            /// <returns>a thing</returns>
            public Thing Take(int index) => things[index];

            /// <inheritdoc/>
            public void Close() { things = null; }
            Thing[] things;
          }
        }
        """,
    )
    assert texts(found) == {
        "A pile of N.Thing & more.": lines(
            """
            [Serializable]
            public class Pile {
              public Thing Take(int index) => ...;

              public void Close() { ... }
              Thing[] things;
            }
            """
        ),
        "Takes index.": "class Pile {\n    public Thing Take(int index) => things[index];\n}",
    }
    assert found.reasons == {"short_summary": 1}


def test_ruby(tmp_path):
    found = read(
        tmp_path,
        "a.rb",
        """
        # frozen_string_literal: true

        # A pile of +things+.
        class Pile < Base
          include Enumerable

          # Takes the top {Thing}.
          #
          # @return [Thing] it
          def pop
            @things.pop
          end

          # Makes an empty pile.
          def self.empty; new; end

          # :nodoc:
          def hidden; 1; end
        end
        """,
    )
    assert texts(found) == {
        "A pile of things.": lines(
            """
            class Pile < Base
              include Enumerable

              def pop
                ...
              end

              def self.empty; ... end

              def hidden; ... end
            end
            """
        ),
        "Takes the top Thing.": "class Pile\n  def pop\n    @things.pop\n  end\nend",
        "Makes an empty pile.": "class Pile\n  def self.empty; new; end\nend",
    }
    assert found.reasons == {"short_summary": 1}


def test_php(tmp_path):
    found = read(
        tmp_path,
        "a.php",
        """
        <?php
        namespace N;

        /**
         * A pile of things.
         */
        final class Pile
        {
            /**
             * Takes the top thing.
             *
             * @return Thing
             */
            #[Pure]
            public function pop(): Thing
            {
                return array_pop($this->things);
            }

            /** @inheritDoc */
            public function size() { return 1; }
        }
        """,
    )
    assert list(texts(found)) == ["A pile of things.", "Takes the top thing."]
    assert texts(found)["Takes the top thing."] == lines(
        """
        class Pile {
            #[Pure]
            public function pop(): Thing
            {
                return array_pop($this->things);
            }
        }
        """
    )
    assert found.reasons == {"short_summary": 1}


# --- comments ---


@pytest.mark.parametrize(
    ("comment", "language", "expected"),
    [
        (["/** One line. */"], "java", "One line."),
        (["/**\n * @brief Does it.\n * @param x a\n */"], "cpp", "Does it."),
        (["/**\n * @class Foo\n * @classdesc Holds it.\n */"], "javascript", "Holds it."),
        (["/** Does it. \\details More. */"], "c", "Does it."),
        (["/// First.", "/// Second."], "rust", "First. Second."),
        (["/**\n * Sums:\n * ```\n * code\n * ```\n */"], "typescript", "Sums:"),
        (["/** Text <p>More. */"], "java", "Text"),
        (["/** A {@link #b} and {@link C#d(int) label}. */"], "java", "A b and (int) label."),
        (["/** @param x only */"], "php", ""),
        (["/* */"], "go", ""),
        (["# @foo is what it gives."], "ruby", "@foo is what it gives."),
        (["# call-seq:\n#   x"], "ruby", "call-seq: x"),
    ],
)
def test_prose_of_comments(comment, language, expected):
    if "label" in expected:
        expected = "A b and label."
        comment = ["/** A {@link #b} and {@link C#d label}. */"]
    assert prose_of(text_of(comment), language) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Reads the file.", True),
        ("Liest die Datei", True),
        ("\u96c6\u3081\u308b", True),
        ("Constructor.", False),
        ("Default constructor", False),
        ("TODO write this", False),
        ("See foo.bar()", False),
        ("https://example.org/x", False),
        ("x = y + 1", False),
        ("if (x) return;", False),
        ("eslint-disable no-console", False),
        ("------ section", False),
        ("word", False),
    ],
)
def test_what_is_a_query(text, expected):
    assert is_query(text) is expected


@given(st.text(alphabet=st.sampled_from("`*<>[]{}()@|:~_+ ab\n\\#&;."), max_size=80))
def test_cleaning_never_fails(text):
    assert cleaned(text) == cleaned(text).strip()
    prose_of(text, "javascript")


@pytest.mark.parametrize(
    "part",
    ["`", "*", "[", "<a", "{@link ", "{@", ":a:`", "|a", "+", "\\c ", "[a](", "**a ", "<summary>"],
)
@pytest.mark.parametrize("language", ["python", "csharp", "ruby", "c"])
def test_hostile_comments_take_linear_time(part, language):
    started = time.monotonic()
    prose_of(text_of([f"/** {part * 20_000} */"]), language)
    prose_of("a: (b)\n" + f"@x {part}\n" * 3_000, language)
    assert time.monotonic() - started < 5


# --- packages, folders and archives ---


def wheel(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarball(path: Path, members: dict[str, str | bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


CODE = 'def f():\n    "Gives the number one."\n    return 1\n'
SCRIPT = "/** Gives the number two. */\nfunction two() { return 2; }\n"
METADATA = (
    "Name: De_mo\nVersion: 3.1\nLicense-Expression: MIT\nProject-URL: Home, https://d.org\n\nx"
)


def test_a_wheel_says_what_it_is(tmp_path):
    members = {"demo/a.py": CODE, "demo/tests/b.py": CODE, "demo-3.1.dist-info/METADATA": METADATA}
    wheel(tmp_path / "demo-3.1-py3-none-any.whl", members)
    (pair,) = of(tmp_path).pairs
    assert (pair.group, pair.license, pair.url) == ("de-mo", "MIT", "https://d.org")
    assert json.loads(pair.meta) == {
        "path": "demo-3.1-py3-none-any.whl/demo/a.py",
        "line": 1,
        "qualname": "f",
        "language": "python",
        "version": "3.1",
    }


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", ["demo-3.1.tar.gz", "demo-3.1.tgz", "demo-3.1.crate"])
def test_an_archive_is_described_wherever_its_manifest_lies(tmp_path, name, late):
    members = [("demo-3.1/PKG-INFO", METADATA), ("demo-3.1/x/a.py", CODE)]
    members.append(("demo-3.1/deep/er/package.json", '{"name": "vendored", "license": "ISC"}'))
    tarball(tmp_path / name, dict(members[::-1] if late else members))
    (pair,) = of(tmp_path).pairs
    assert (pair.group, pair.license) == ("de-mo", "MIT")


def test_an_archive_without_a_manifest_has_the_name_of_its_file(tmp_path):
    tarball(tmp_path / "some-thing-1.2.0.tar.gz", {"a.py": CODE})
    (pair,) = of(tmp_path, license="CC0-1.0").pairs
    assert (pair.group, pair.license) == ("some-thing", "CC0-1.0")


def test_a_tree_has_the_name_of_the_outermost_and_the_licence_of_the_nearest_package(tmp_path):
    files = {
        "mono/package.json": '{"name": "mono", "license": "MIT", "homepage": "https://m.org"}',
        "mono/src/a.js": SCRIPT,
        "mono/packages/sub/package.json": '{"name": "sub", "license": "ISC"}',
        "mono/packages/sub/b.js": SCRIPT,
        "loose/c.js": SCRIPT,
        ".hidden/d.js": SCRIPT,
        "mono/node_modules/e.js": SCRIPT,
        "mono/f.min.js": SCRIPT,
        "mono/g.test.js": SCRIPT,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = of(tmp_path)
    facts = {json.loads(p.meta)["path"]: (p.group, p.license, p.url) for p in found.pairs}
    assert facts == {
        "loose/c.js": ("loose", "NOASSERTION", None),
        "mono/src/a.js": ("mono", "MIT", "https://m.org"),
        "mono/packages/sub/b.js": ("mono", "ISC", "https://m.org"),
    }
    assert found.drops == []
    everything = of(tmp_path, skip=[])
    assert everything.kept == 6


def test_keys_follow_content_and_what_the_package_says(tmp_path):
    def stamps(**settings):
        source = CodeHarvest(path=str(tmp_path / "x"), **settings)
        return [(unit.name, unit.fingerprint) for unit in source.units()], source.material()

    (tmp_path / "x").mkdir()
    (tmp_path / "x/package.json").write_text('{"name": "a"}')
    (tmp_path / "x/a.js").write_text(SCRIPT)
    before = stamps()
    assert stamps() == before
    (tmp_path / "x/package.json").write_text('{"name": "b"}')
    after = stamps()
    assert after[0] != before[0]
    assert stamps(commits=False) == after
    assert stamps(max_chars=500)[1] != after[1]


def test_links_that_lead_out_are_not_followed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    (inside / "real").mkdir(parents=True)
    outside.mkdir()
    (inside / "real/a.py").write_text(CODE)
    (outside / "b.py").write_text(CODE)
    (inside / "b.py").symlink_to(outside / "b.py")
    (inside / "folder").symlink_to(outside)
    (inside / "again").symlink_to(inside / "real")
    (inside / "loop.py").symlink_to(inside / "loop.py")
    (inside / "notes.txt").symlink_to(outside / "b.py")
    found = of(inside)
    assert [json.loads(p.meta)["path"] for p in found.pairs] == ["real/a.py"]
    assert sorted(drop.detail.partition(":")[0] for drop in found.drops) == ["b.py", "folder"]
    assert found.reasons == {"outside": 2}


def test_a_name_that_is_no_text_still_fits_arrow(tmp_path):
    name = os.fsdecode(b"caf\xe9.py")
    try:
        (tmp_path / name).write_text(CODE)
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    found = of(tmp_path)
    assert json.loads(found.pairs[0].meta)["path"] == "caf?.py"
    to_table(found.pairs, "pairs")


def test_one_file_and_globs(tmp_path):
    for name in ("a.py", "b.py", "c.js"):
        (tmp_path / name).write_text(CODE if name.endswith("py") else SCRIPT)
    assert of(tmp_path / "a.py").kept == 1
    assert of(tmp_path / "*.py").kept == 2
    with pytest.raises(ValueError, match="holds no source files"):
        CodeHarvest(path=str(tmp_path), definitions=False).check()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no source files"):
        CodeHarvest(path=str(tmp_path / "empty")).check()
    with pytest.raises(ValueError, match="nothere"):
        CodeHarvest(path=str(tmp_path / "nothere")).check()


# --- bad input ---


@pytest.mark.parametrize(
    ("name", "content", "reason", "said"),
    [
        ("a.py", b"def f(:\n  pass", "syntax_error", "a.py:1: "),
        ("a.py", b"class A: x = " + b"-" * 200_000 + b"1", "too_deep", "nested too deeply"),
        ("a.py", b"# coding: no-such\ndef f(): 1", "unreadable", "unknown encoding"),
        ("a.py", b"def f(): 1\n\0", "binary", "NUL"),
        ("a.js", b"\x89PNG\0\0\1", "binary", "NUL"),
        ("a.js", b"var a = 1;" * 1_000, "generated", "a.js: "),
        ("a.go", b"// Code generated by x. DO NOT EDIT.\nfunc f() {}", "generated", "a.go: "),
        ("a.js", b"/** x */\n" * 200_000, "too_long", "a.js: "),
        ("a.js", b"\n" * (17 << 20), "too_long", "a.js: "),
        (
            "a.java",
            b"/** Doc of it. */ class A { int x = " + b"a<\n" * 30_000,
            "too_deep",
            "a.java",
        ),
        ("a.ts", b"/** Doc of it. */ let x = " + b"f<a,\n" * 30_000, "too_deep", "a.ts"),
        ("a.zip", b"PK\x03\x04" + b"\0" * 40, "damaged", "a.zip"),
        ("a.tar.gz", b"\x1f\x8b\x08\0" + b"\0" * 6 + b"\xff" * 40, "damaged", "a.tar.gz"),
    ],
)
def test_a_bad_file_is_one_drop(tmp_path, name, content, reason, said):
    (tmp_path / "good.py").write_text(CODE)
    found = read(tmp_path, name, content)
    assert found.kept == 1
    assert found.reasons == {reason: 1}
    assert said in found.drops[0].detail
    assert str(tmp_path) not in found.drops[0].detail


def test_a_definition_that_does_not_parse_is_one_drop(tmp_path):
    code = "/** Is broken inside. */\nfunction a() { return (; }\n\n" + SCRIPT
    found = read(tmp_path, "a.js", code)
    assert list(texts(found)) == ["Gives the number two."]
    assert found.reasons == {"syntax_error": 1}


def test_encodings_and_line_ends(tmp_path):
    code = "/** Gibt die Höhe zurück. */\r\nfunction h() {\r\n  return 'é';\r\n}\r\n"
    for number, encoding in enumerate(["utf-8", "utf-8-sig", "latin-1", "utf-16"]):
        (tmp_path / f"{number}.js").write_bytes(code.encode(encoding))
    found = of(tmp_path)
    assert found.kept == 4
    assert texts(found) == {"Gibt die Höhe zurück.": "function h() {\n  return 'é';\n}"}


@pytest.mark.parametrize("language", [name for name in GRAMMARS if name != "tsx"])
@pytest.mark.parametrize(
    "part", ["(", "{", "[", "a<", "a&b ", '"', "/** a */", "f<a,", "class A {"]
)
def test_absurd_nesting_is_bounded(tmp_path, language, part):
    suffix = {"javascript": "js", "typescript": "ts", "rust": "rs", "csharp": "cs", "ruby": "rb"}
    first = "<?php\n" if language == "php" else ""
    mark = {"ruby": "# Doc of it.\n", "rust": "/// Doc of it.\n", "go": "// Doc of it.\n"}
    mark = mark.get(language, "/** Doc of it. */\n")
    body = "\n".join([part * 20] * (60_000 // (20 * len(part))))
    started = time.monotonic()
    read(tmp_path, f"a.{suffix.get(language, language)}", f"{first}{mark}{body}")
    assert time.monotonic() - started < 30


def test_hostile_archives_stay_in_memory(tmp_path, monkeypatch):
    inside = tmp_path / "in"
    inside.mkdir()
    monkeypatch.chdir(inside)
    wheel(
        inside / "a.whl", {"../../escaped.py": CODE, "/abs.py": CODE, "bomb.py": b" " * (17 << 20)}
    )
    with tarfile.open(inside / "b.tar", "w") as archive:
        link = tarfile.TarInfo("link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        info = tarfile.TarInfo("../up.py")
        info.size = len(CODE)
        archive.addfile(info, io.BytesIO(CODE.encode()))
    found = of(inside)
    assert found.kept == 3
    assert found.reasons == {"too_long": 1}
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.whl", "b.tar", "in"]


def test_nothing_is_run(tmp_path):
    read(tmp_path, "a.py", f"open({str(tmp_path / 'ran')!r}, 'w')\n{CODE}")
    (tmp_path / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    of(tmp_path)
    assert not (tmp_path / "ran").exists()


# --- real packages ---


@pytest.fixture(scope="module")
def real(data):
    return harvested(CodeHarvest(path=str(data / "code"), skip=()))


def by_tokens(text: str) -> int:
    """Count documented definitions outside functions with nothing but the tokens of Python."""
    count, kinds, opener, line, is_first = 0, [], "", [], False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.INDENT:
            kinds.append(opener)
            is_first = True
        elif token.type == tokenize.DEDENT:
            kinds.pop()
        elif token.type == tokenize.NEWLINE:
            words = [word.string for word in line if word.string != "async"]
            is_string = {word.type for word in line} == {tokenize.STRING}
            if is_first and is_string and kinds[-1] in ("def", "class"):
                count += "def" not in kinds[:-1]
            opener, line, is_first = words[0], [], False
        elif token.type not in (tokenize.COMMENT, tokenize.NL):
            line.append(token)
    return count


def test_real_python_has_as_many_docstrings_as_its_tokens(data, real):
    documented = 0
    for path in sorted((data / "code").glob("*.whl")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".py"):
                    documented += by_tokens(archive.read(name).decode())
    ours = [r for r in [*real.pairs, *real.drops] if r.source == "code/python"]
    assert len(ours) == pytest.approx(documented, rel=0.01)


def test_real_javascript_has_as_many_comments_as_a_regex_finds(data, real):
    with tarfile.open(data / "code/lodash-4.18.1.tgz") as archive:
        text = archive.extractfile("package/lodash.js").read().decode()
    functions = re.findall(
        r"/\*\*\n(?:[ ]*\*[^\n]*\n)+?[ ]*\*/\n[ ]*(?:function (\w+)|var (\w+) = [\w.]*\(?function)",
        text,
    )
    names = {a or b for a, b in functions}
    assert len(names) > 400
    path = "lodash-4.18.1.tgz/package/lodash.js"
    pairs = [json.loads(p.meta) for p in real.pairs]
    ours = {m["qualname"].rpartition(".")[2] for m in pairs if m["path"] == path}
    dropped = {
        re.search(r"js:\d+: (?:[\w.]*\.)?(\w+):", drop.detail).group(1)
        for drop in real.drops
        if drop.detail.startswith(path)
    }
    assert names - (ours | dropped) <= {"isArguments"}  # `a(function ..) ? b : c`
    assert len(ours) <= 1.1 * len(names)


def test_real_packages(data):
    found = harvested(CodeHarvest(path=str(data / "code")))
    python = [pair for pair in found.pairs if pair.source == "code/python"]
    assert len(python) >= 3_000
    assert len(found.pairs) >= 4_200
    assert set(found.reasons) == {"no_code", "short_summary", "long_code"}
    assert len(found.drops) < 0.05 * len(found.pairs)
    licenses = {pair.group: pair.license for pair in found.pairs}
    assert licenses == {
        "boltons": "BSD-3-Clause",
        "click": "BSD-3-Clause",
        "flask": "BSD-3-Clause",
        "networkx": "BSD-3-Clause",
        "more-itertools": "MIT",
        "pyparsing": "MIT",
        "lodash": "MIT",
        "requests": "Apache-2.0",
    }
    assert all(pair.url.startswith("https://") for pair in found.pairs)
    odd = [p for p in found.pairs if re.search(r"``|:\w+:`|</?\w+>|\{@|^\W*$", p.query)]
    assert len(odd) < 0.005 * len(found.pairs)


def test_mutants_of_real_archives_are_only_drops(data, tmp_path):
    chance = random.Random(4)
    for name in ("more_itertools-11.2.1-py3-none-any.whl", "requests-2.34.2-py3-none-any.whl"):
        whole = (data / "code" / name).read_bytes()
        for number in range(12):
            mutant = bytearray(whole)
            for _ in range(chance.choice([1, 20, 400])):
                mutant[chance.randrange(len(mutant))] ^= 1 << chance.randrange(8)
            if number % 3 == 0:
                del mutant[chance.randrange(len(mutant)) :]
            path = tmp_path / f"{number}" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(mutant)
            of(path)
