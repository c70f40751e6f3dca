import pytest

from curate.filter.language import LanguageFilter
from curate.schema import PAIR, PASSAGE, Doc, Pair, Passage, drop_schema, from_table, to_table
from curate.stage import Map

EN = "The weather in the mountains was so bad that we had to stay in the hut for three days."
EN_TOO = "How many days did they have to wait in the hut because of the bad weather up there?"
DE = "Das Wetter in den Bergen war so schlecht, dass wir drei Tage in der Hütte bleiben mussten."
FR = "Le temps en montagne était si mauvais que nous avons dû rester trois jours dans la cabane."
PT = "O tempo nas montanhas estava tão ruim que tivemos de ficar três dias na cabana de madeira."
NB = "Været i fjellet var så dårlig at vi måtte bli værende i hytta i tre dager før vi kunne gå."
LTG = "Latgola ir viesturiskuo i kulturys apgobols Latvejis dīnvydaustrumūs, kur dzeivoj latgalīši."
CODE = "def wait(days):\n    for day in range(days):\n        self.hut.stay(day)\n    return days\n"


def pair(query=EN_TOO, passage=EN, language=None, passage_language=None, **more):
    docs = [Doc(passage, language=passage_language)] if passage is not None else []
    return Pair(
        "question-answer", query, docs, more.pop("source", "here"), "g", language=language, **more
    )


def outcome(stage: Map, records, kind="pairs"):
    stage.check()
    result = stage.map(to_table(records, kind))
    assert result.kept.schema.equals(PAIR if kind == "pairs" else PASSAGE)
    assert result.dropped.schema.equals(drop_schema(kind))
    assert result.kept_inputs + len(result.dropped) == len(records)
    return result


def reason(record, **settings):
    kind = "pairs" if isinstance(record, Pair) else "passages"
    dropped = outcome(LanguageFilter(**settings), [record], kind).dropped
    return dropped["drop_reason"][0].as_py() if len(dropped) else None


def kept(record, **settings):
    kind = "pairs" if isinstance(record, Pair) else "passages"
    (result,) = from_table(outcome(LanguageFilter(**settings), [record], kind).kept)
    return result


# -- what a record states --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (pair(language="en", passage_language="en"), None),
        (pair(language="en"), None),
        (pair(), None),
        (pair(DE, EN, "de", "en"), None),
        (pair(EN_TOO, DE, "en", "de"), None),
        (pair(EN_TOO, EN, "en", "de"), "passage_wrong_language"),
        (pair(EN_TOO, DE, "de", "en"), "query_wrong_language"),
        (pair(EN_TOO, EN, "de", "en"), "query_wrong_language"),
        (pair(PT, EN, "pt-BR", "en-GB"), None),
        (pair(NB, EN, "nb", "en"), None),
        (pair(LTG, LTG, "ltg", "ltg"), None),
        (pair(CODE, CODE, "de", "ja"), None),
        (pair("Hütte", "Ja.", "en", "en"), None),
        (pair(EN, None, "en"), None),
        (pair(DE, None, "en"), "query_wrong_language"),
        (Passage(DE, "here", "g", language="de"), None),
        (Passage(DE, "here", "g", language="fr"), "passage_wrong_language"),
    ],
)
def test_a_text_surely_in_another_language_than_stated_is_dropped(record, expected):
    assert reason(record) == expected


def test_the_detail_says_what_is_wrong_and_how_sure_that_is():
    dropped = outcome(LanguageFilter(), [pair(EN_TOO, DE, "en", "fr")]).dropped
    says, figures = dropped["drop_detail"][0].as_py().split("; ")
    assert says == "passage is de, stated fr"
    query, passage = (part.split() for part in figures.split(", "))
    assert (query[0], passage[0]) == ("query", "passage")
    assert 0.9 < float(query[1]) < 1
    assert 0.9 < float(passage[1]) < 1


def test_a_wrong_statement_can_be_replaced():
    record = kept(pair(DE, DE, "en", "en"), stated="replace")
    assert (record.language, record.positives[0].language) == ("de", "de")
    assert kept(Passage(DE, "here", "g", language="fr"), stated="replace").language == "de"
    assert kept(pair(PT, PT, "pt-BR"), stated="replace").language == "pt-BR"


def test_how_much_it_takes_to_deny_a_statement():
    record = pair(EN_TOO, EN, "en", "de")
    assert reason(record, wrong_confidence=1) is None
    assert reason(record, wrong_letters=100) is None
    assert reason(record, wrong_letters=20) == "passage_wrong_language"


# -- two sides -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (pair(EN_TOO, DE), "languages_differ"),
        (pair(EN_TOO, DE, "en"), "languages_differ"),
        (pair(EN_TOO, DE, None, "de"), "languages_differ"),
        (pair(EN_TOO, DE, "und", ""), "languages_differ"),
        (pair(EN_TOO, CODE), None),
        (pair(EN_TOO, "Hütte"), None),
        (pair(NB, NB, "no", "nn"), None),
        (pair(PT, PT, "pt-BR", "pt"), None),
        (pair(DE, LTG, None, "ltg"), None),
    ],
)
def test_two_sides_in_two_languages_must_be_meant(record, expected):
    assert reason(record) == expected
    assert reason(record, same_language=False) is None


# -- what is wanted --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "settings", "expected"),
    [
        (pair(), {"keep": ["en"]}, None),
        (pair(DE, DE), {"keep": ["en"]}, "query_unwanted_language"),
        (pair(DE, DE), {"keep": ["en"], "on": "passage"}, "passage_unwanted_language"),
        (pair(DE, EN, "de", "en"), {"keep": ["en"], "on": "passage"}, None),
        (pair(DE, EN, "de", "en"), {"keep": ["en", "de"]}, None),
        (pair(PT, PT, "pt-BR"), {"keep": ["pt"]}, None),
        (pair(PT, PT), {"keep": ["PT"]}, None),
        (pair(PT, PT), {"keep": ["pt-BR"]}, "query_unwanted_language"),
        (pair(PT, PT, "pt-BR", "pt-BR"), {"keep": ["pt-br"]}, None),
        (pair(NB, NB), {"keep": ["nb"]}, None),
        (pair(NB, NB, "nn"), {"keep": ["nb"]}, "query_unwanted_language"),
        (pair("Hütte", "Ja.", "de", "de"), {"keep": ["en"]}, "query_unwanted_language"),
        (pair("Hütte", "Ja.", "de", "de"), {"keep": ["de"], "unknown": "drop"}, None),
        (pair("Hütte", "Ja."), {"keep": ["en"]}, None),
        (pair("Hütte", "Ja."), {"unknown": "drop"}, "query_unknown_language"),
        (pair(DE, "Ja."), {"unknown": "drop"}, "passage_unknown_language"),
        (pair(EN, CODE), {"unknown": "drop", "keep": ["en"]}, None),
        (pair("?!", "123"), {"unknown": "drop", "keep": ["en"]}, None),
        (pair(EN, None), {"unknown": "drop", "keep": ["en"]}, None),
        (Passage(FR, "here", "g"), {"keep": ["fr"]}, None),
        (Passage(FR, "here", "g"), {"keep": ["en"], "on": "query"}, "passage_unwanted_language"),
        (Passage("Ja.", "here", "g"), {"unknown": "drop"}, "passage_unknown_language"),
    ],
)
def test_languages_to_keep(record, settings, expected):
    assert reason(record, **settings) == expected


def test_what_counts_is_a_setting():
    assert reason(pair(DE, DE), keep=["en"], min_confidence=1) is None
    assert reason(pair(DE, DE), keep=["en"], min_letters=500) is None
    assert reason(pair("drei Tage", "drei Tage"), keep=["en"], min_letters=2, min_confidence=0.1)


@pytest.mark.parametrize("tag", ["English", "e", "", "pt_BR", "de-"])
def test_what_is_no_language_tag_is_refused(tag):
    with pytest.raises(ValueError, match=f"keep: '{tag}' is not a language tag"):
        LanguageFilter(keep=[tag]).check()


def test_sources_can_differ():
    settings = {"keep": ["en"], "per_source": {"news/*": {"keep": ["de"]}, "web": {"keep": []}}}
    records = [
        pair(DE, DE, source="news/a"),
        pair(source="news/a"),
        pair(DE, DE, source="web"),
        pair(),
        pair(DE, DE, source=None),
    ]
    result = outcome(LanguageFilter(**settings), records)
    assert [r.id for r in from_table(result.kept)] == [records[i].id for i in (0, 2, 3)]
    assert result.dropped["id"].to_pylist() == [records[1].id, records[4].id]


# -- what is written -------------------------------------------------------------------------------


def test_languages_are_filled_in_and_no_other_field_changes():
    docs = [Doc(DE), Doc(None, id="x" * 32), Doc(FR, language="fr"), Doc("Ja.", scores={"a": 1.0})]
    record = Pair("k", DE, docs, "here", "g", negatives=[Doc(DE)], candidates=[Doc(FR)])
    result = kept(record)
    assert result.language == "de"
    assert [doc.language for doc in result.positives] == ["de", None, "fr", None]
    assert [doc.id for doc in result.positives] == [doc.id for doc in docs]
    assert result.positives[3].scores == {"a": 1.0}
    assert (result.negatives, result.candidates) == (record.negatives, record.candidates)
    assert (result.id, result.query_id) == (record.id, record.query_id)


def test_stated_languages_stay_as_they_are():
    assert kept(pair(PT, PT, "pt-BR", "pt-BR")).language == "pt-BR"
    assert kept(pair("Ja.", "Ja.", "und")).language == "und"
    assert kept(Passage("Ja.", "here", "g")).language is None
    assert kept(Passage(DE, "here", "g")).language == "de"


def test_scores_tell_how_sure_it_is():
    scores = kept(pair(DE, CODE, scores={"before": 0.5})).scores
    assert list(scores) == ["before", "query_language_confidence"]
    assert scores["query_language_confidence"] > 0.9
    assert kept(Passage(DE, "here", "g")).scores["language_confidence"] > 0.9
    dropped = outcome(LanguageFilter(), [pair(EN_TOO, DE)]).dropped
    names = [score["name"] for score in dropped["scores"][0].as_py()]
    assert names == ["query_language_confidence", "passage_language_confidence"]


def test_the_key_has_the_identifier():
    assert LanguageFilter().material()["identifier"].startswith("eldc ")
