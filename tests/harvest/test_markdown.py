import time

import pytest

from curate.harvest.text.markdown import plain_text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("plain words.", "plain words."),
        ("  two   spaces \r\n\r\n\r\n\r\nand\ta tab ", "two spaces\n\nand a tab"),
        ("**bold *it* more** and *a **b** c* ***x***", "bold it more and a b c x"),
        ("__d__ _e_f_ ~~g~~", "d e_f g"),
        ("2 * 3 * 4, 2*3*4, snake_case_name, a_b", "2 * 3 * 4, 2*3*4, snake_case_name, a_b"),
        ("see [Foo (bar)](http://a.b/Foo_\\(bar\\)) and [[1]](http://x.y 'T')", "see Foo (bar) and [1]"),
        ("![alt](a.png) <http://a.b/c> [x](<a>)", "alt http://a.b/c x"),
        ("[emacs][] [vi][2]\n\n[2]: http://a.b 'title'\n[n]: is none", "emacs vi\n\n[n]: is none"),
        ("# Head\n\n## About C#\n\n### End ###\n#1 of many", "Head\n\nAbout C#\n\nEnd\n#1 of many"),
        ("Title\n=====\n\n> a *quote*\n> > in two lines\n\n---\n* * *", "Title\n\na quote\nin two lines"),
        ("* a\n+ b\n- c\n1. d", "- a\n- b\n- c\n1. d"),
        ("a|b\n:--|--:\nc|*d*\n\nx|y", "a b\nc d\n\nx|y"),
        ("try `a *b* \\*` or ``x`` \\*not\\* ¯\\\\\\_(ツ)\\_/¯", "try a *b* \\* or x *not* ¯\\_(ツ)_/¯"),
        ("so:\n\n    if *a*:\n        b &amp; e\n\nthen", "so:\n\nif *a*:\n    b &amp; e\n\nthen"),
        ("```py\nx = **y**\n\n    [z](z)\n```\n_end_", "x = **y**\n\n    [z](z)\nend"),
        ("~~~\nnever *closed*", "never *closed*"),
        ("a &amp; b &lt;c&gt; &nbsp;&#x200B;&copy; &amp;amp;", "a & b <c> © &amp;"),
        ("<p>a<br/> <b class='x'>b</b> <!-- no --> List<String> a < b</p>", "a b List<String> a < b"),
        ("nul\0, bom\ufeff, private \U000f0000 `code`", "nul, bom, private code"),
        ("&#xF0000; `once` twice", "once  twice"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_reader_sees(markdown, text):
    assert plain_text(markdown) == text


MARKS = [
    "[",
    "]",
    "[a](",
    "[[a]",
    "*",
    "*a",
    "**",
    "_a ",
    "__a",
    "`",
    "```\n",
    "~~a",
    "<",
    "<!--",
    "<a ",
]
MORE_MARKS = [
    "> ",
    "#",
    "\\",
    "|",
    "-|-\n",
    "[a]: .",
    "&#xF0000;`a`",
    "    a\n",
    " ",
    "- ",
    "*a\n\n",
    "![",
]


@pytest.mark.parametrize("mark", MARKS + MORE_MARKS)
def test_time_is_linear(mark):
    begun = time.process_time()
    text = plain_text("x " + mark * (200_000 // len(mark)) + " y")
    assert time.process_time() - begun < 2
    assert len(text) <= 200_004
