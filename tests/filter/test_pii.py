from dataclasses import replace

import pytest

from curate.filter.pii import PiiFilter
from curate.schema import PAIR, PASSAGE, Doc, Pair, Passage, drop_schema, from_table, to_table

MAIL, MASKED = "Ask jane@uni-bonn.de about it.", "Ask <EMAIL> about it."
SERVER = "The server is 82.50.72.202 today."
PLAIN = "Nothing of anybody is in here."


def pair(query=PLAIN, *passages, **more):
    docs = [Doc(text, language="en", scores={"s": 0.5}) for text in passages or (PLAIN,)]
    more = {"task": "a task", "scores": {"before": 1.0}, "parents": ["p" * 32]} | more
    return Pair("k", query, docs, "here", "g", url="https://x.org/a@b.de", **more)


def outcome(stage, records, kind="pairs"):
    stage.check()
    result = stage.map(to_table(records, kind))
    assert result.kept.schema.equals(PAIR if kind == "pairs" else PASSAGE)
    assert result.dropped.schema.equals(drop_schema(kind))
    assert result.kept_inputs == len(result.kept)
    assert len(result.kept) + len(result.dropped) == len(records)
    return result


def kept(record, **settings):
    kind = "pairs" if isinstance(record, Pair) else "passages"
    (found,) = from_table(outcome(PiiFilter(**settings), [record], kind).kept)
    return found


def dropped(record, **settings):
    kind = "pairs" if isinstance(record, Pair) else "passages"
    rows = outcome(PiiFilter(**settings), [record], kind).dropped.to_pylist()
    return rows[0]["drop_reason"] if rows else None


# -- masking ---------------------------------------------------------------------------------------


def test_a_pair_without_finds_stays_as_it_is():
    record = pair(PLAIN, PLAIN, "you@example.org at 127.0.0.1")
    assert kept(record) == record


@pytest.mark.parametrize(
    ("query", "passages"), [(MAIL, [PLAIN]), (PLAIN, [PLAIN, MAIL]), (MAIL, [MAIL, SERVER])]
)
def test_what_is_masked_has_the_ids_that_its_new_texts_would_have(query, passages):
    before = pair(query, *passages, negatives=[Doc(MAIL)], candidates=[Doc(PLAIN), Doc(SERVER)])
    after = kept(before)

    def new(text):
        return text.replace("jane@uni-bonn.de", "<EMAIL>").replace("82.50.72.202", "<IP>")

    def anew(docs):
        return [replace(doc, text=new(doc.text), id="") for doc in docs]

    assert after == replace(
        before,
        query=new(query),
        positives=anew(before.positives),
        negatives=anew(before.negatives),
        candidates=anew(before.candidates),
        scores=after.scores,
        parents=[*before.parents, before.id],
        id="",
        query_id="",
    )
    assert after.id != before.id
    assert "jane" not in str(replace(after, url=None))


def test_a_negative_has_no_part_in_the_id_of_a_pair():
    before = pair(negatives=[Doc(MAIL)])
    after = kept(before)
    assert (after.id, after.parents, after.query_id) == (
        before.id,
        before.parents,
        before.query_id,
    )
    assert after.negatives == [Doc(MASKED)]


def test_pairs_and_passages_give_a_masked_passage_the_same_id():
    passage = kept(Passage(MAIL, "here", "g"))
    assert passage.id == kept(pair(PLAIN, MAIL)).positives[0].id == Doc(MASKED).id


def test_titles_are_masked_too():
    before = Passage(SERVER, "here", "g", title="jane@uni-bonn.de", scores={"before": 1.0})
    after = kept(before)
    assert (after.title, after.text) == ("<EMAIL>", "The server is <IP> today.")
    assert after.id == Passage(after.text, "here", "g", title="<EMAIL>").id
    assert after.parents == [before.id]
    assert after.scores == {"before": 1.0, "pii_email": 1, "pii_ip": 1}


def test_finds_are_counted_over_the_whole_record():
    record = pair(MAIL, MAIL, SERVER, negatives=[Doc(MAIL)])
    assert kept(record).scores == {"before": 1.0, "pii_email": 3, "pii_ip": 1}


def test_records_do_not_mix():
    records = [pair(PLAIN), pair(MAIL), pair(PLAIN, SERVER), pair(SERVER, PLAIN)]
    result = outcome(PiiFilter(actions={"email": "drop"}), records)
    assert [r.query for r in from_table(result.kept)] == [PLAIN, PLAIN, "The server is <IP> today."]
    assert result.dropped["query"].to_pylist() == [MAIL]


# -- actions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "settings", "expected"),
    [
        (pair(MAIL), {}, None),
        (pair(MAIL), {"action": "drop"}, "pii_email"),
        (pair(PLAIN), {"action": "drop"}, None),
        (pair(PLAIN, PLAIN, SERVER), {"action": "drop"}, "pii_ip"),
        (pair(negatives=[Doc(MAIL)]), {"action": "drop"}, "pii_email"),
        (pair(SERVER, MAIL), {"action": "drop", "actions": {"email": "keep"}}, "pii_ip"),
        (pair(SERVER, MAIL), {"action": "drop", "actions": {"email": "mask"}}, "pii_ip"),
        (pair(MAIL), {"action": "drop", "actions": {"email": "mask"}}, None),
        (pair(MAIL), {"actions": {"email": "drop"}}, "pii_email"),
        (pair("TCK-123"), {"action": "drop", "patterns": {"ticket": "TCK-[0-9]+"}}, "pii_ticket"),
        (Passage(MAIL, "here", "g"), {"action": "drop"}, "pii_email"),
    ],
)
def test_actions(record, settings, expected):
    assert dropped(record, **settings) == expected


def test_what_is_kept_is_not_sought():
    record = pair(MAIL)
    assert kept(record, actions={"email": "keep"}) == record


def test_dropped_records_keep_their_texts_and_tell_the_counts():
    result = outcome(PiiFilter(action="drop"), [pair(MAIL + MAIL)])
    (row,) = result.dropped.to_pylist()
    assert (row["query"], row["drop_detail"]) == (MAIL + MAIL, "2 of kind email")
    assert row["scores"][-1] == {"name": "pii_email", "value": 2}


def test_patterns_of_ones_own():
    record = kept(pair("TCK-123 of a@b.de"), patterns={"ticket": "TCK-[0-9]+"})
    assert record.query == "<TICKET> of <EMAIL>"
    assert record.scores["pii_ticket"] == 1


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ({"own": "("}, r"patterns: own: '\(' is not a pattern"),
        ({"own": "a?"}, "matches the empty text"),
        ({"email": "x"}, "'email' must be lower-case"),
        ({"Own": "x"}, "'Own' must be lower-case"),
    ],
)
def test_patterns_that_cannot_work_are_refused(patterns, message):
    with pytest.raises(ValueError, match=message):
        PiiFilter(patterns=patterns).check()


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="actions"):
        PiiFilter(actions={"emails": "drop"})


# -- Docs without text -----------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["negatives", "candidates"])
def test_docs_that_are_but_ids_cannot_be_looked_at(column):
    record = pair(MAIL, **{column: [Doc(PLAIN), Doc(None, id="x" * 32)]})
    assert dropped(record) == "no_text"
    after = kept(record, unread="keep")
    assert after.query == MASKED
    assert getattr(after, column)[1].id == "x" * 32


def test_a_pair_without_positives():
    record = replace(pair(MAIL), positives=[], id="")
    assert kept(record) == replace(
        record, query=MASKED, id="", query_id="", parents=[*record.parents, record.id],
        scores={"before": 1.0, "pii_email": 1},
    )  # fmt: skip
