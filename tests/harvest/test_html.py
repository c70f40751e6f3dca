"""`text_of`: lines and paragraphs, code as it is, and markup that no parser should have to see."""

import gzip
import re
import time
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.harvest.text.html import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain &amp; simple", "plain & simple"),
        ("<p>one\n  two</p>\n\n<p>three</p>", "one two\n\nthree"),
        ("<p>one<p>two", "one\n\ntwo"),
        ("a<br>b<br/>c<BR />d", "a\nb\nc\nd"),
        ("<h1>Head</h1>text<h2>More</h2>", "Head\n\ntext\n\nMore"),
        ("<p>Items:</p><ul>\n<li>one</li>\n<li>two</ul>end", "Items:\n\none\ntwo\n\nend"),
        ("<ol><li><p>one</p></li><li><p>two</p></li></ol>", "one\n\ntwo"),
        ("<div>a<div>b</div>c</div>", "a\nb\nc"),
        ("<table><tr><td>1<td>2<tr><th>3</th><td>4</td></table>", "1 2\n3 4"),
        ("<dl><dt>term<dd>what it is</dl>", "term\nwhat it is"),
        ("a <b>bold</b>, <i>slanted</i>word", "a bold, slantedword"),
        ("one<hr>two", "one\n\ntwo"),
        ("<DIV>a</DIV><Div>b</dIv>", "a\nb"),
        ("x<unknown y>z</unknown>", "xz"),
        ("a&nbsp;&nbsp;b&#160;c\xa0 d\te", "a b\xa0c d e"),
        ("&lt;p&gt; &amp;lt; &quot;&eacute;&#x41;&#66;", '<p> &lt; "éAB'),
        ("5 < 6 > 4 <= 7 & 8", "5 < 6 > 4 <= 7 & 8"),
        ("line\r\nbreaks\rhere", "line breaks here"),
    ],
)
def test_lines_and_paragraphs(html, text):
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            "<p>so:</p><pre><code>if a &lt; b &amp;&amp; c:\n    run( )\n\n\tx\n</code></pre><p>ok",
            "so:\n\nif a < b && c:\n    run( )\n\n\tx\n\nok",
        ),
        ("<p>x</p><pre>\n\n    deep\n  less\n</pre>", "x\n\n    deep\n  less"),
        ("x<pre>a<br>b<span>c</span>\n  d</pre>y", "x\n\na\nbc\n  d\n\ny"),
        ("x<pre><div>a</div><div>  b</div></pre>", "x\n\na\n  b"),
        ("use <code>a  b</code> and  <code>c</code>", "use a  b and c"),
        ("use <code>a\n  b</code> now", "use a\n  b now"),
        ("never <pre>  closed\n  at <b>all", "never\n\n  closed\n  at all"),
        ("<pre>a<pre>b</pre>c</pre>d", "a\n\nb\n\nc\n\nd"),
        ("end </pre> without </code> begin", "end\n\nwithout begin"),
        ("<code>a <p>  b", "a\n\nb"),
    ],
)
def test_code_stays_as_it_is(html, text):
    assert text_of(html) == text


@pytest.mark.parametrize(
    "html",
    [
        "a<script>if (x<b && '</p>') {}</script>b",
        "a<STYLE type='x'>p > a {}</Style >b",
        "a<!-- <p>hidden --> --><b>b</b>".replace(" -->", "", 1),
        "a<!-->b",
        "a<!--->b",
        "a<!doctype html>b",
        "a<?php echo 1 ?>b",
        "a<![CDATA[x]]>b",
        "a<svg><text>x</text></svg>b",
        "a<textarea><p>x</p></textarea>b",
        "a<title>x</title>b",
        "a<a href='x>y' title=\"it's > that\">b",
        "a<a href=x title=don't>b",
        "a<scripture>b</scripture>",
        "a</ >b",
        "ab<script>never closed <p>",
        "ab<!-- never closed",
        'ab<a href="never closed>',
        "ab<p",
    ],
)
def test_what_is_no_text(html):
    assert text_of(html) == "ab"


def test_surrogates_and_absurd_references():
    assert text_of("&#xD800;|&#0;|&#x110000;") == "\ufffd|\ufffd|\ufffd"
    assert text_of(f"<p>a &#{'9' * 10_000}; &amp; &#65;") == "a \ufffd & A"


def test_characters_that_serve_as_marks():
    assert text_of("a\x01b\x02c\x03d\x04e\x05f\x06g\x0e\x0f\x10") == "a\nb\n\nc\n\nd\n\nefg"


HOSTILE = {
    "open tags": "<a",
    "quotes": '<a b="',
    "quoted ends": "<a '>' ",
    "equals": "<a =",
    "spaces after equals": "<a =" + " " * 100,
    "comments": "<!--",
    "comments nearly closed": "<!-- --",
    "scripts": "<script>",
    "scripts nearly closed": "<script></script",
    "pre": "<pre>",
    "code": "<code>a  ",
    "closed code": "</code>  ",
    "depth": "<div>",
    "closing": "</p>",
    "references": "&#",
    "long names": "&" + "a" * 31,
    "less": "<",
    "bogus": "</!",
    "white space": " \n\t",
    "lines in paragraphs": "<br> ",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_hostile_markup_takes_linear_time(piece):
    html = piece * (2_000_000 // len(piece))
    started = time.process_time()
    text_of(html)
    text_of(html + ">")
    assert time.process_time() - started < 8


@given(st.text("<>/!-='\" &;#abp\n\t\x01\x02\x03\x04\x05\x06\x0e", max_size=80))
def test_any_markup(html):
    assert isinstance(text_of(html), str)


words = st.text(
    st.characters(exclude_characters="<>&\x00", exclude_categories=["C", "Z"]), min_size=1
)


@given(st.lists(words, min_size=1), st.sampled_from(["p", "h3", "li", "div", "td"]))
def test_no_word_is_lost(found, tag):
    html = "".join(f"<{tag}>{word}</{tag}>" for word in found)
    assert text_of(html).split() == " ".join(found).split()


def test_the_words_of_real_posts(data):
    """Another parser finds the same words, in the same order, in all posts of a site."""
    import lxml.html

    path = data / "stackexchange/ai-2017/Posts.xml.gz"
    rows = re.findall(r' Body="([^"]+)"', gzip.decompress(path.read_bytes()).decode())
    assert len(rows) > 1_000
    for body in map(unescape, rows):
        tree = lxml.html.fragment_fromstring(body, create_parent=True)
        expected = re.sub(r"\s", "", "".join(tree.itertext()))
        assert re.sub(r"\s", "", text_of(body)) == expected
