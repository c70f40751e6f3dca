import gettext
import random
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import MissingExtraError
from curate.text import identify as module
from curate.text.identify import identified_as, identifier, identify, primary

SENTENCES = {
    "en": "the weather is nice today",
    "de": "das Wetter ist heute schön",
    "fr": "il fait beau aujourd'hui",
    "es": "hoy hace muy buen tiempo",
    "it": "oggi fa molto bel tempo",
    "pt": "hoje o tempo está muito bom",
    "nl": "het is vandaag erg mooi weer",
    "pl": "dzisiaj jest bardzo ładna pogoda",
    "tr": "bugün hava çok güzel",
    "sv": "det är väldigt fint väder idag",
    "fi": "tänään on todella kaunis ilma",
    "hu": "ma nagyon szép idő van",
    "ru": "сегодня очень хорошая погода",
    "uk": "сьогодні дуже гарна погода",
    "el": "σήμερα έχει πολύ καλό καιρό",
    "he": "היום מזג האוויר נעים מאוד",
    "ar": "الطقس جميل جدا اليوم",
    "hi": "आज मौसम बहुत अच्छा है",
    "th": "วันนี้อากาศดีมาก",
    "ko": "오늘은 날씨가 아주 좋습니다",
    "ja": "今日はとても天気がいいです",
    "zh": "今天天气非常好",
}


def found(*texts):
    return identify(pl.Series(texts, dtype=pl.String))


def test_short_sentences_of_many_languages():
    frame = found(*SENTENCES.values())
    assert frame["language"].to_list() == list(SENTENCES)
    assert frame["confidence"].min() > 0.8


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " \n ",
        "\0\0",
        "1234 -- !!! 99%",
        "\U0001f469\u200d\U0001f469 \U0001f3f3\ufe0f",
        "def f(x, y=None):\n    if x[0] == y:\n        return self.value\n",
        "for (let i = 0; i < n; i++) { out.push(f(i)); }",
        "x_i = \\sum_{j=1}^{n} a_{ij} y_j",
    ],
)
def test_code_and_texts_without_letters_have_no_language(text):
    assert found(text).rows() == [(None, None, 0)]


def test_prose_with_a_little_code_has_one():
    text = "Call sort(key=len) on the list, and the shortest of all the words comes first in it."
    assert found(text)["language"].to_list() == ["en"]


@pytest.mark.parametrize("length", [8, 1_000, 200_000])
def test_letters_count_in_bytes_and_only_those_of_the_head(length):
    frame = found("d" * length, "д" * length, "的" * length)
    assert frame["letters"].to_list() == [min(length, 256) * size for size in (1, 2, 3)]


def test_a_nul_does_not_end_a_text():
    assert found("\0Wo ist hier der\0 nächste Bahnhof?")["language"].to_list() == ["de"]


def test_only_the_head_of_a_text_is_read():
    english = "This is the beginning of a long text in English. " * 40
    assert found(english + SENTENCES["ru"] * 1_000).equals(found(english))


def test_short_japanese_with_few_kana_is_not_chinese():
    chinese = (
        "我非常喜欢这首歌《さら》你以前听过吗我每天晚上都听这首歌觉得它非常好听我朋友们也很喜欢"
    )
    texts = ["軽量階層データ格納庫", "GNU 一般公衆利用許諾の通知", chinese]
    assert found(*texts)["language"].to_list() == ["ja", "ja", "zh"]


def test_more_letters_make_it_surer():
    words = SENTENCES["de"].split()
    sure = found(*(" ".join(words[:count]) for count in (1, 3, 5)))["confidence"].to_list()
    assert sure == sorted(sure)
    assert found("qwrtz")["confidence"].fill_null(0).item() < 0.5


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text() | st.sampled_from(sorted(SENTENCES.values())), max_size=12))
def test_each_text_is_judged_by_itself(texts):
    whole = found(*texts)
    parts = [found(text) for text in texts]
    assert whole.rows() == [row for part in parts for row in part.rows()]
    assert whole["confidence"].drop_nulls().is_between(0, 1).all()


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("pt-BR", {"pt"}),
        ("DE", {"de"}),
        ("nb", {"no"}),
        ("id", {"ms"}),
        ("sr-Latn", {"hr", "sr"}),
        ("ltg", set()),
        ("Japanese", set()),
        ("", set()),
    ],
)
def test_codes_of_a_tag(tag, expected):
    assert identified_as(tag) == expected


def test_primary_language():
    assert primary("zh-Hant-TW") == "zh"


def test_the_identifier_says_which_it_is():
    assert identifier().startswith("eldc ")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "eldc", None)
    module._detector.cache_clear()
    try:
        with pytest.raises(MissingExtraError, match=r"curate\[language\]"):
            identifier()
    finally:
        module._detector.cache_clear()


def test_real_translations_of_short_messages():
    """Messages of Django of 20 to 80 characters, in 50 languages."""
    django = pytest.importorskip("django")
    messages = []
    for path in sorted((Path(django.__file__).parent / "conf/locale").glob("??/*/django.mo")):
        language = path.parent.parent.name
        if language == "en" or not identified_as(language):
            continue
        with path.open("rb") as file:
            texts = sorted(set(gettext.GNUTranslations(file)._catalog.values()))
        texts = [text for text in texts if 20 <= len(text) <= 80 and "%" not in text]
        messages += [
            (language, text) for text in random.Random(0).sample(texts, min(20, len(texts)))
        ]
    frame = found(*(text for _, text in messages))
    right = pl.Series(
        got in identified_as(language)
        for (language, _), got in zip(messages, frame["language"], strict=True)
    )
    sure = (frame["confidence"] >= 0.9).fill_null(False)
    assert len(messages) > 800
    assert right.mean() > 0.94
    assert sure.mean() > 0.6
    assert right.filter(sure).mean() > 0.98
