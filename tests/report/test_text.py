import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from curate.report.text import clean, cut, excerpt, markdown, number, one_line, seconds, size


def test_escape_sequences_leave_nothing_behind():
    assert clean("a\x1b[31;1mb\x1b[0mc") == "abc"
    assert clean("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c") == "abc"
    assert clean("a\x9b31mb\x00\x7f") == "a31mb"
    assert clean("a\u202eb\u2066c\u200f") == "abc"
    assert clean("one\r\ntwo\tthree") == "one\ntwo three"


@given(st.text())
def test_clean_text_has_no_control_characters_and_is_stable(text):
    cleaned = clean(text)
    assert all(unicodedata.category(c) != "Cc" or c == "\n" for c in cleaned)
    assert clean(cleaned) == cleaned


def test_lengths():
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
    assert one_line("a\n b\t\x1b[1mc", 20) == "a b c"
    assert len(one_line("x" * 10_000, 50)) == 50


def test_excerpt_shows_the_first_lines_and_says_that_there_is_more():
    assert excerpt(None) == "(no text)"
    assert excerpt("") == ""
    assert excerpt("a\n\n\nb") == "a\nb"
    assert excerpt("a\nb\nc", lines=2) == "a\nb\n…"
    assert excerpt("x" * 100, chars=10) == "x" * 9 + "…"
    assert excerpt("x" * 10_000_000, chars=10).endswith("…")


def test_markdown_is_escaped():
    assert markdown("a|b *c* <d> [e] `f`\n#g & \\") == (
        "a\\|b \\*c\\* \\<d\\> \\[e\\] \\`f\\` \\#g &amp; \\\\"
    )


def test_numbers():
    assert [size(n) for n in (0, 999, 1500, 2_500_000, 3 * 10**9, 4 * 10**12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.5 MB",
        "3.0 GB",
        "4.0 TB",
    ]
    assert [seconds(s) for s in (0.04, 59.9, 60, 3599, 3600, 90_000, 200_000)] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "25 h 0 min",
        "2 d 7 h",
    ]
    assert [number(v) for v in (12345, 0.123456, True, "x")] == ["12,345", "0.1235", "True", "x"]
