import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.filter.rules import C4, GopherQuality, GopherRepetition, Rules
from curate.schema import Passage, to_table

PROSE = (
    "The committee met on Monday to discuss what the city should have done with the old bridge. "
    "It was built before the war, and few of those who crossed it every day knew that its steel "
    "had been ordered for a ship. Nobody wanted to be the one to close it. In the end they agreed "
    "to repair the northern half, which is used by trams, and to leave the rest for another year."
)
TOKENS = len(PROSE.split()) + PROSE.count(",") + PROSE.count(".")
ALONE = {
    name: None
    for name in Rules.model_fields
    if name.startswith(("min_passage", "max_")) and name != "max_score"
}


def verdicts(texts, **families):
    rules = Rules(**ALONE, **families)
    rules.check()
    passages = [Passage(text, "here", "g", id=str(i)) for i, text in enumerate(texts)]
    dropped = rules.map(to_table(passages, "passages")).dropped
    found = {row["id"]: (row["drop_reason"], row["drop_detail"]) for row in dropped.to_pylist()}
    return [found.get(str(row)) for row in range(len(texts))]


def reasons(texts, **families):
    return [found and found[0] for found in verdicts(texts, **families)]


# -- Gopher: quality -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, None),
        ("Sort the numbers, and that with care.", ("gopher_few_words", "7 words, minimum 50")),
        (
            "the and that with have be to of " * 12_501,
            ("gopher_many_words", "100008 words, maximum 100000"),
        ),
        ("a b of it to is " * 10, ("gopher_short_words", "1.7 characters a word, minimum 3")),
        (
            "the and " + "x" * 600 + " word" * 50,
            ("gopher_long_words", "15.2 characters a word, maximum 10"),
        ),
        (
            PROSE + " #" * 12,
            ("gopher_symbols", f"{12 / (TOKENS + 12):.2f} hash signs a word, maximum 0.1"),
        ),
        (
            PROSE.replace(". ", "... ") + "… " * 12,
            ("gopher_symbols", f"{15 / (TOKENS + 12):.2f} ellipses a word, maximum 0.1"),
        ),
        (
            "- " + PROSE.replace(". ", ".\n• "),
            ("gopher_bullets", "1.00 of the lines begin with a bullet, maximum 0.9"),
        ),
        (
            PROSE.replace(". ", "...\n"),
            ("gopher_ellipses", "0.75 of the lines end in an ellipsis, maximum 0.3"),
        ),
        (
            PROSE + " 1234" * 30,
            (
                "gopher_few_letters",
                f"{len(PROSE.split()) / (TOKENS + 30):.2f} of the words have a letter, minimum 0.8",
            ),
        ),
        ("Ordnung muss sein sagt man " * 12, ("gopher_stop_words", "0 stop words, minimum 2")),
        ("the " * 60, ("gopher_stop_words", "1 stop words, minimum 2")),
        ("", ("gopher_few_words", "0 words, minimum 50")),
    ],
)
def test_gopher_quality(text, expected):
    assert verdicts([text], gopher_quality=True) == [expected]


def test_thresholds_of_the_papers():
    quality, repetition = GopherQuality(), GopherRepetition()
    assert (quality.min_words, quality.max_words) == (50, 100_000)
    assert (quality.min_mean_word_chars, quality.max_mean_word_chars) == (3, 10)
    assert (quality.max_symbols_per_word, quality.min_alphabetic_words) == (0.1, 0.8)
    assert (quality.max_bullet_lines, quality.max_ellipsis_lines) == (0.9, 0.3)
    assert (quality.min_stop_words, len(quality.stop_words)) == (2, 8)
    assert (repetition.max_repeated_lines, repetition.max_repeated_line_chars) == (0.3, 0.2)
    parts = repetition.max_repeated_paragraphs, repetition.max_repeated_paragraph_chars
    assert parts == (0.3, 0.2)
    assert repetition.max_top_ngram_chars == {2: 0.2, 3: 0.18, 4: 0.16}
    expected = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    assert repetition.max_repeated_ngram_chars == expected
    assert (C4().min_line_words, C4().min_sentences) == (5, 3)


def test_families_are_switched_and_tuned():
    short = "Sort the numbers and that with care."
    assert reasons([short]) == [None]
    assert reasons([short], gopher_quality=False) == [None]
    assert reasons([short], gopher_quality=None, gopher_repetition=True) == [None]
    assert reasons([short], gopher_quality={"min_words": 7}) == [None]
    assert reasons([short], gopher_quality={"min_words": None, "stop_words": ["Sort"]}) == [
        "gopher_stop_words"
    ]
    german = {"stop_words": ["der", "die", "und", "in"], "min_words": 5}
    assert reasons(["Der Hund und die Katze in Ruh"], gopher_quality=german) == [None]
    assert Rules(gopher_quality=True).material() == Rules(gopher_quality={}).material()
    assert Rules(gopher_quality=True).material() != Rules().material()
    with pytest.raises(ValueError, match="gopher_quality"):
        Rules(gopher_quality={"min_word": 3})
    with pytest.raises(ValueError, match="max_top_ngram_chars: n-grams have 2 to 20 words, got 1"):
        Rules(gopher_repetition={"max_top_ngram_chars": {1: 0.5}}).check()


# -- Gopher: repetition ----------------------------------------------------------------------------

OTHER = "Every paragraph of it says something of its own, number {}."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, None),
        ("a b c d e f", None),
        ("", None),
        ("One.\n\nTwo two.\n\nOne.\n\n" + PROSE, ("gopher_repeated_paragraphs", "0.25")),
        ("One\nTwo two\nOne\n" + PROSE, ("gopher_repeated_lines", "0.25")),
        (PROSE + "\n\nSome\n\n" + PROSE, ("gopher_repeated_paragraphs", "0.33")),
        (PROSE + "\n" + PROSE, ("gopher_repeated_lines", "0.50")),
        (
            paragraphs := "\n\n".join([PROSE, *map(OTHER.format, range(6)), PROSE]),
            ("gopher_repeated_paragraphs", f"{len(PROSE) / len(paragraphs):.2f}"),
        ),
        (
            lines := "\n".join([PROSE, *map(OTHER.format, range(6)), PROSE]),
            ("gopher_repeated_lines", f"{len(PROSE) / len(lines):.2f}"),
        ),
        ("of the " * 6 + PROSE[:120], ("gopher_top_ngram", "0.22")),
        (PROSE[:90] + PROSE[180:300] + PROSE[:90], ("gopher_repeated_ngrams", "0.21")),
    ],
)
def test_gopher_repetition(text, expected):
    (found,) = verdicts(
        [text],
        gopher_repetition={"max_repeated_lines": 0.24, "max_repeated_paragraphs": 0.24}
        if expected and expected[1] == "0.25"
        else True,
    )
    assert (found and found[0], found and found[1][:4]) == (expected or (None, None))


WORDS = ["the", "of", "and", "bridge", "steel", "12", ",", "#", "...", "x"]
documents = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), min_size=1, max_size=12
).map("\n".join)


@settings(deadline=None, max_examples=40)
@given(st.lists(documents, max_size=4))
def test_gopher_by_hand(values):
    quality = {"min_words": 8, "min_mean_word_chars": 2.5, "min_alphabetic_words": 0.5}
    expected = [by_hand(value) for value in values]
    assert reasons(values, gopher_quality=quality, gopher_repetition=True) == expected


def by_hand(text):
    """The rules once more, in plain Python, over words that are separated by white space."""
    return quality_by_hand(text) or repetition_by_hand(text)


def quality_by_hand(text):
    words, lines = text.split(), [line for line in text.split("\n") if line.strip()]
    real = [word for word in words if any(c.isalnum() for c in word)]
    mean = np.mean([len(word) for word in real]) if real else 5
    share = sum(any(c.isalpha() for c in word) for word in words) / max(len(words), 1)
    checks = [
        ("gopher_few_words", len(real) < 8),
        ("gopher_short_words", mean < 2.5),
        ("gopher_symbols", text.count("#") > 0.1 * len(words)),
        ("gopher_symbols", text.count("...") > 0.1 * len(words)),
        ("gopher_ellipses", sum(line.endswith("...") for line in lines) > 0.3 * len(lines)),
        ("gopher_few_letters", share < 0.5),
        ("gopher_stop_words", len({"the", "of", "and"} & set(words)) < 2),
    ]
    return next((reason for reason, fails in checks if fails), None)


def repetition_by_hand(text):
    words, lines = text.split(), [line.strip() for line in text.split("\n")]
    paragraphs = [p.strip() for p in "\n".join(lines).replace("\n\n", "\0").split("\0")]
    for what, parts in (("paragraphs", paragraphs), ("lines", lines)):
        parts = [part for part in parts if part]
        again = [part for i, part in enumerate(parts) if part in parts[:i]]
        if len(again) > 0.3 * len(parts) or sum(map(len, again)) > 0.2 * len(text):
            return f"gopher_repeated_{what}"
    for size in range(2, 11):
        grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
        if size < 5 and grams and 0.24 - 0.02 * size < top_share(grams, text) - 1e-9:
            return "gopher_top_ngram"
        if size > 4 and repeated_chars(grams, size) > (0.2 - 0.01 * size) * len(text) + 1e-9:
            return "gopher_repeated_ngrams"
    return None


def top_share(grams, text):
    top = max(grams, key=grams.count)
    return grams.count(top) * len(" ".join(top)) / len(text) if grams.count(top) > 1 else 0


def repeated_chars(grams, size):
    chars = place = 0
    while place < len(grams):
        again = grams[place] in grams[:place]
        chars += again * len("".join(grams[place]))
        place += size if again else 1
    return chars


# -- C4 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, None),
        ("LOREM Ipsum dolor. " + PROSE, ("c4_lorem_ipsum", "it says lorem ipsum")),
        (PROSE + " {", ("c4_curly_bracket", "it has a curly bracket")),
        (PROSE[:100] + "\n" + PROSE[100:], None),
        (PROSE.replace(". ", "\n"), ("c4_sentences", "1 sentences in lines that count, minimum 3")),
        ("JavaScript is off. " + PROSE, ("c4_sentences", "0 sentences in lines that count, minimum 3")),
        ("Turn on JavaScript to go on.\n" + PROSE, None),
        ("We use cookies. " + PROSE, ("c4_sentences", "0 sentences in lines that count, minimum 3")),
        (PROSE + "..", ("c4_sentences", "0 sentences in lines that count, minimum 3")),
        ('He said: "It is so."\nShe told him to leave!\nWhy did she (at all)?', None),
        ("Yes.\nNo.\nWell.", ("c4_sentences", "0 sentences in lines that count, minimum 3")),
        ("", ("c4_sentences", "0 sentences in lines that count, minimum 3")),
        ("彼は来たと言ったよ。彼は来た。「彼は来た。」", None),
    ],
)  # fmt: skip
def test_c4(text, expected):
    assert verdicts([text], c4=True) == [expected]


def test_c4_is_tuned():
    loose = {name: False for name, field in C4.model_fields.items() if field.annotation is bool}
    code = "function() { javascript }"
    assert (
        reasons([code, PROSE], c4={**loose, "min_line_words": None, "min_sentences": 1})
        == [None] * 2
    )
    half = PROSE + "\n" + PROSE[:-1]
    assert verdicts([half], c4={"min_kept_chars": 0.6}) == [
        ("c4_lines", "0.50 of the characters are in lines that count, minimum 0.6")
    ]
    assert reasons([half], c4=True) == [None]


# -- all of them -----------------------------------------------------------------------------------


def test_documents_without_text_are_not_judged():
    from curate.schema import Doc, Pair

    rules = Rules(gopher_quality=True, gopher_repetition=True, c4=True, max_boilerplate=0.1)
    untold = [Pair("qa", "Sort the numbers", [Doc(None, id=str(i))], "here", "g") for i in range(2)]
    told = Pair("qa", "Sort the numbers", [Doc("short, but long enough")], "here", "g")
    outcome = rules.map(to_table([untold[0], told, untold[1]], "pairs"))
    assert outcome.kept["id"].to_pylist() == [pair.id for pair in untold]


@settings(deadline=None, max_examples=20)
@given(
    st.lists(
        documents | st.text(st.sampled_from("aé你👍\u0301\u3164 .\n-'"), max_size=30), max_size=5
    )
)
def test_same_fate_alone_as_among_others(values):
    families = {
        "gopher_quality": {"min_words": 3},
        "gopher_repetition": True,
        "c4": {"min_sentences": 1, "min_line_words": 2},
        "max_upper_ratio": 0.5,
    }
    own = {name: value for name, value in ALONE.items() if name not in families}
    rules = Rules(**own, **families)
    table = to_table(
        [Passage(text, "s", "g", id=str(i)) for i, text in enumerate(values)], "passages"
    )
    whole = rules.map(table)
    parts = [rules.map(table.slice(row, 1)) for row in range(len(table))]
    assert whole.dropped.to_pylist() == [row for part in parts for row in part.dropped.to_pylist()]
