import re
import unicodedata

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.filter.rules import Rules
from curate.schema import SCHEMAS, Doc, Pair, Passage, drop_schema, to_table
from curate.text.normalise import content_hashes

PASSAGE = "def sort(numbers):\n    return sorted(numbers, key=abs)"
OFF = {
    name: None
    for name in Rules.model_fields
    if name.startswith(("min_query", "max_", "min_passage")) and name != "max_score"
}


def pair(query, passage=PASSAGE, **more):
    docs = [Doc(passage)] if passage is not None else []
    return Pair("docstring", query, docs, **{"source": "here", "group": "g", **more})


def verdicts(rules, pairs):
    rules.check()
    outcome = rules.map(to_table(pairs, "pairs"))
    assert outcome.kept.schema.equals(SCHEMAS["pairs"])
    assert outcome.dropped.schema.equals(drop_schema("pairs"))
    assert len(outcome.kept) + len(outcome.dropped) == len(pairs)
    assert outcome.kept_inputs == len(outcome.kept)
    found = {
        row["id"]: (row["drop_reason"], row["drop_detail"]) for row in outcome.dropped.to_pylist()
    }
    return [found.get(record.id) for record in pairs]


def verdict(rules, record):
    return verdicts(rules, [record])[0]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (pair("Sort numbers by magnitude."), None),
        (pair("Sort numbers by magnitude.", None), ("no_positive", "0 positives, minimum 1")),
        (pair("Run"), ("query_few_chars", "query has 3 characters, minimum 10")),
        (pair("x y " * 600), ("query_many_chars", "query has 2400 characters, maximum 2000")),
        (pair("Initialization."), ("query_few_words", "query has 1 words, minimum 2")),
        (pair("你好世界你好世界你好"), None),
        (
            pair("Sort numbers", "x" * 19),
            ("passage_few_chars", "passage has 19 characters, minimum 20"),
        ),
        (
            pair("Sort numbers", "x " * 50_001),
            ("passage_many_chars", "passage has 100002 characters, maximum 100000"),
        ),
        (pair("Sort numbers", "x" * 30), ("passage_few_words", "passage has 1 words, minimum 3")),
        (
            pair("a -- == ++ -- == b"),
            ("query_symbols", "0.56 of the query's characters are symbols, maximum 0.5"),
        ),
        (
            pair("call 0123456789 now"),
            ("query_digits", "0.53 of the query's characters are digits, maximum 0.3"),
        ),
        (
            pair("see https://example.org/a/very/long/link"),
            ("query_urls", "0.90 of the query's characters are urls, maximum 0.5"),
        ),
        (
            pair("Sort numbers", "one line here\n\n one line here\none line here\nend"),
            (
                "passage_repeated_lines",
                "0.50 of the passage's lines repeat another, maximum 0.3",
            ),
        ),
        (
            pair("Sort the numbers by size.", "sort the  NUMBERS by size"),
            ("query_is_passage", "query and passage say the same: 'Sort the numbers by size.'"),
        ),
        (Pair("qa", "Sort numbers", [Doc(None, id="x")], "here", "g"), None),
    ],
)
def test_defaults(record, expected):
    assert verdict(Rules(), record) == expected


def test_first_broken_rule_is_the_reason():
    assert verdict(Rules(), pair("12", "34"))[0] == "query_few_chars"
    assert verdict(Rules(min_query_chars=None), pair("12", "34"))[0] == "query_few_words"
    rules = Rules(min_query_chars=None, min_query_words=None)
    assert verdict(rules, pair("12", "34"))[0] == "passage_few_chars"


def test_everything_can_be_turned_off():
    rules = Rules(**OFF, drop_equal=False)
    assert verdicts(rules, [pair("1", "1"), pair("", ""), pair("", None)]) == [
        None,
        None,
        ("no_positive", "0 positives, minimum 1"),
    ]


def test_query_within_passage():
    rules = Rules(drop_contained=True)
    inside = pair("Sorted, numbers: KEY", PASSAGE)
    assert verdict(rules, inside) == (
        "query_in_passage",
        "the passage contains the query 'Sorted, numbers: KEY'",
    )
    assert verdict(rules, pair("orted numbers ke", PASSAGE)) is None
    assert verdict(Rules(), inside) is None


def test_denied_queries():
    rules = Rules(deny_query=[r"^Return repr\(self\)", r"x{3}"])
    assert verdict(rules, pair("Return repr(self).")) == (
        "query_denied",
        r"query 'Return repr(self).' matches '^Return repr\\(self\\)'",
    )
    assert verdict(rules, pair("an xxx here"))[1] == "query 'an xxx here' matches 'x{3}'"
    assert verdict(rules, pair("Do not Return repr(self).")) is None


def test_scores():
    rules = Rules(min_score={"likes{0}": 2})
    records = [
        pair("Sort the numbers", scores={"likes{0}": 1.5}),
        pair("Sort the names", scores={"likes{0}": 2}),
        pair("Sort the files", scores={"other": 0}),
    ]
    assert verdicts(rules, records) == [
        ("low_score", "score likes{0} is 1.5, minimum 2.0"),
        None,
        None,
    ]
    rules = Rules(max_score={"likes{0}": 1.5})
    assert [found and found[0] for found in verdicts(rules, records)] == [None, "high_score", None]


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match=r"deny_query: .\(. is not a pattern.*unclosed"):
        Rules(deny_query=["("]).check()
    with pytest.raises(ValueError, match="deny_query"):
        Rules(deny_query=["(?=look ahead)"]).check()
    with pytest.raises(ValueError, match="min_query_chars: 50 is more than max_query_chars: 40"):
        Rules(min_query_chars=50, max_query_chars=40).check()
    Rules().check()


def test_no_rows():
    assert verdicts(Rules(deny_query=["x"], drop_contained=True, min_score={"s": 1}), []) == []


texts = st.text(st.sampled_from("ab1 .\n👍é你"), max_size=30)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_same_fate_alone_as_among_others(rows):
    rules = Rules(min_query_chars=3, min_passage_chars=3, drop_contained=True, deny_query=["b1"])
    pairs = [pair(f"{query}{i}", passage) for i, (query, passage) in enumerate(rows)]
    assert verdicts(rules, pairs) == [verdict(rules, record) for record in pairs]


@settings(deadline=None, max_examples=40)
@given(texts.filter(bool))
def test_shares_are_those_of_single_characters(text):
    symbols = sum(not c.isspace() and unicodedata.category(c)[0] not in "LMN" for c in text)
    digits = sum(unicodedata.category(c) == "Nd" for c in text)
    for name, share in (("symbols", symbols / len(text)), ("digits", digits / len(text))):
        settings = {**OFF, "drop_equal": False, f"max_{name[:-1]}_ratio": 0.25}
        found = verdict(Rules(**settings), pair(text))
        assert (found is not None) == (share > 0.25)
        if found:
            assert found[0] == f"query_{name}"
            assert found[1].startswith(f"{share:.2f} of")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["a", " a", "b\r", "", "  ", "a b"]), max_size=10))
def test_repeated_lines_by_hand(lines):
    kept = [line.strip() for line in lines if line.strip()]
    share = 1 - len(set(kept)) / len(kept) if kept else 0
    rules = Rules(**{**OFF, "max_repeated_lines": 0.4}, drop_equal=False)
    found = verdict(rules, pair("Sort", "\n".join(lines)))
    assert (found and found[0]) == ("passage_repeated_lines" if share > 0.4 else None)
    assert found is None or found[1].startswith(f"{share:.2f} of the passage's lines")


@settings(deadline=None, max_examples=40)
@given(texts, texts)
def test_equal_is_what_content_hashes_say(query, passage):
    hashes = content_hashes(pl.Series([query, passage]))
    same = bool(hashes[0].any() and (hashes[0] == hashes[1]).all())
    found = verdict(Rules(**OFF), pair(query, passage))
    assert (found is not None) == same


def test_upper_case():
    rules = Rules(max_upper_ratio=0.5)
    assert verdict(rules, pair("SORT THE NUMBERS by size")) == (
        "query_upper_case",
        "0.70 of the query's letters are upper case, maximum 0.5",
    )
    assert verdict(rules, pair("Sort the numbers", "NUMBERS.SORT(KEY=ABS)"))[0] == (
        "passage_upper_case"
    )
    assert verdict(rules, pair("你好世界你好世界你好 ABC")) is None
    assert verdict(rules, pair("123 $ sort the numbers")) is None


def test_denied_passages():
    rules = Rules(deny_passage=["^Page not found"])
    assert verdict(rules, pair("Sort the numbers", "Page not found on this server"))[0] == (
        "passage_denied"
    )
    assert verdict(rules, pair("Page not found, what now?")) is None


def test_boilerplate():
    menu = "Skip to content\nSign in\nRead more about it\n© 2024 All rights reserved"
    prose = "The court found that the privacy policy of the firm had been unlawful. " * 4
    rules = Rules(max_boilerplate=0.3)
    text = f"{menu}\nSome words of the page."
    assert verdict(rules, pair("Sort the numbers", text)) == (
        "passage_boilerplate",
        "0.71 of the passage's characters are in lines of boilerplate, maximum 0.3",
    )
    assert verdict(rules, pair("Sort the numbers", prose)) is None
    assert verdict(rules, pair("Sort the numbers", f"{prose}\n{menu}")) is None
    own = Rules(max_boilerplate=0.3, boilerplate=["^def "])
    assert verdict(own, pair("Sort the numbers"))[0] == "passage_boilerplate"
    assert verdict(own, pair("Sort the numbers", text)) is None


def test_profanity(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("# of a test\nDarn\nblue   moon # two words\n你\n\n", "utf-8")
    rules = Rules(profanity=words, min_query_chars=2, min_query_words=1)
    records = [
        pair("What the DARN, sort it"),
        pair("Sort the darning needles"),
        pair("Sort the numbers", "once in a blue\nmoon, darn it"),
        pair("Sort the numbers", "a blue red moon rises"),
        pair("是你吗"),
    ]
    assert verdicts(rules, records) == [
        ("query_profanity", "query says 'darn'"),
        None,
        ("passage_profanity", "passage says 'blue moon'"),
        None,
        ("query_profanity", "query says '你'"),
    ]


def test_what_the_list_of_words_says_is_in_the_key(tmp_path):
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("darn\nheck\n")
    second.write_text("# the same, elsewhere\nHeck\nDARN\n")
    keys = [
        Rules(profanity=first).material(),
        Rules(profanity=second).material(),
        Rules(per_source={"a": {"profanity": first}}).material(),
        Rules(per_source={"a": {"profanity": second}}).material(),
    ]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert str(tmp_path) not in str(keys)
    second.write_text("gosh\n")
    assert Rules(profanity=second).material() != keys[0]
    assert Rules(per_source={"a": {"profanity": second}}).material() != keys[2]
    with pytest.raises(ValueError, match=r"profanity: .*none.txt' cannot be read"):
        Rules(profanity=tmp_path / "none.txt").check()
    first.write_text("# nothing\n")
    with pytest.raises(ValueError, match="lists no words"):
        Rules(profanity=first).check()


def test_settings_by_source(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("darn\n")
    rules = Rules(
        min_query_chars=5,
        per_source={
            "glossary/*": {"min_query_chars": 2, "min_query_words": 1},
            "web": {"gopher_quality": True, "profanity": words},
        },
    )
    records = [
        pair("cats", source="glossary/x"),
        pair("dogs", source="forum"),
        pair("Sort the darn numbers", source="forum"),
        pair("Sort the darn names", source="web"),
        pair("Sort the numbers", source="web"),
        pair("cows", source=None),
    ]
    assert [found and found[0] for found in verdicts(rules, records)] == [
        None,
        "query_few_chars",
        None,
        "query_profanity",
        "gopher_few_words",
        "query_few_chars",
    ]
    with pytest.raises(ValueError, match="per_source: 'a': min_query_chars: 9 is more than max"):
        Rules(per_source={"a": {"min_query_chars": 9, "max_query_chars": 5}}).check()


def test_passages():
    rules = Rules(max_symbol_ratio=0.2)
    passages = [
        Passage("Sort the numbers by their size.", "here", "g"),
        Passage("too short", "here", "g"),
        Passage("a -- == ++ -- == b and so on", "here", "g"),
        Passage(None, "here", "g", id="null"),
    ]
    outcome = rules.map(to_table(passages, "passages"))
    assert outcome.kept.schema.equals(SCHEMAS["passages"])
    assert outcome.kept["id"].to_pylist() == [passages[0].id]
    assert outcome.dropped["drop_reason"].to_pylist() == [
        "passage_few_chars",
        "passage_symbols",
        "passage_few_chars",
    ]
    assert rules.gives("passages") == {"main": "passages"}
    assert Rules(min_query_chars=3).gives("pairs") == {"main": "pairs"}
    for name, value in {"min_query_chars": 3, "drop_equal": True, "deny_query": ["x"]}.items():
        with pytest.raises(ValueError, match=f"{name}: .* needs pairs, but the input is passages"):
            Rules(**{name: value}).gives("passages")
        with pytest.raises(ValueError, match=f"{name}: .* needs pairs, but the input is passages"):
            Rules(per_source={"a": {name: value}}).gives("passages")


def test_a_megabyte():
    long = pair("Sort the numbers", "word " * 200_000)
    assert verdict(Rules(), long)[0] == "passage_many_chars"
    assert verdict(Rules(max_passage_chars=None), long) is None
    every = Rules(max_passage_chars=None, gopher_repetition=True, c4={"min_sentences": None})
    assert verdict(every, long)[0] == "gopher_top_ngram"
    lines = pair("Sort the numbers", "a line of words\n" * 70_000)
    assert verdict(every.model_copy(update={"max_repeated_lines": None}), lines)[0] == (
        "gopher_repeated_lines"
    )


def test_reasons_are_snake_case():
    assert all(re.fullmatch("[a-z_]+", verdict(Rules(), p)[0]) for p in [pair("a"), pair("a" * 20)])
