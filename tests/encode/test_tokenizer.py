"""How static encoders read text: the rules, and that the same texts always give the same pieces."""

import os
import subprocess
import sys

import pytest
from tokenizers import Tokenizer

from curate.encode.tokenizer import NAME_MARK, UNKNOWN, TokenizerSettings, train_tokenizer, twins

CORPUS = [
    "Get the user name of all open files in the tree.",
    "def getUserName(self):\n    return self.name_list",
    "class HTTPServer:\n    def close_all(self): return value",
    "return the list of all names, then close http server",
] * 20


def train(**settings) -> Tokenizer:
    return train_tokenizer(CORPUS, TokenizerSettings(vocabulary=400, **settings))[0]


def read(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return the words that a text is read as, pieces joined."""
    return " ".join(tokenizer.encode(text).tokens).replace(" ##", "").split()


@pytest.fixture(scope="module")
def tokenizer():
    return train()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("get the user", "get the user"),
        ("GET The uSER", "get the u ser"),
        ("getUserName", "get user name"),
        ("HTTPServer", "http server"),
        ("get_user_name", "get user name"),
        ("get.user(name)", "get user name"),
        ("the user, the name; the user", "name the user"),
        ("", ""),
        (" \n\t .,;:!? ", ""),
        ("def getUserName(self): return self", "§get §user §name return self"),
        ("def get_user_name(a):", "§get §user §name a"),
        ("async def get(self): return user", "§get self return user"),
        ("class HTTPServer:\n    value", "§http §server value"),
        (
            "class User:\n    def getName(self): return name",
            "class user §get §name self return name",
        ),
        ("@open\n@close(value)\ndef get(self): return", "open close value §get self return"),
        ("def __get_name__(self): return", "§get §name self return"),
        ("get the user def", "get the user def"),
        ("return def get(self)", "return def get self"),
    ],
)
def test_reading_rules(tokenizer, text, words):
    """Of equal words the last one is read; the words of a name that is defined bear its mark."""
    assert read(tokenizer, text) == words.split()


def test_words_repeat_unless_distinct():
    text = "the user the user the name"
    assert read(train(distinct=False), text) == text.split()
    assert read(train(), text) == ["user", "the", "name"]


def test_prose_settings_leave_code_alone():
    plain = train(code=False)
    assert read(plain, "def getName(self)")[0] == "def"
    assert not any(NAME_MARK in piece for piece in plain.get_vocab())


def test_long_texts_are_cut():
    tokenizer = train(max_chars=20, distinct=False)
    assert read(tokenizer, "the user " * 1000) == read(tokenizer, "the user the user th")
    assert len(train(max_tokens=3).encode("get user name list of all").ids) == 3


def test_unknown_characters_are_unknown(tokenizer):
    assert read(tokenizer, "\u65e5\u672c") == [UNKNOWN]
    assert tokenizer.token_to_id(UNKNOWN) == 0


def test_names_have_a_twin_of_every_whole_word():
    tokenizer, learned = train_tokenizer(CORPUS, TokenizerSettings(vocabulary=400))
    vocabulary = tokenizer.get_vocab()
    pieces = {index: piece for piece, index in vocabulary.items()}
    assert sorted(pieces) == list(range(len(vocabulary)))
    assert not any(pieces[i].startswith(NAME_MARK) for i in range(learned))
    of = twins(tokenizer, learned)
    assert [NAME_MARK + pieces[word] for word in of] == [
        pieces[i] for i in range(learned, len(pieces))
    ]
    assert of == sorted(of)


def test_rules_are_saved_with_the_tokenizer(tokenizer, tmp_path):
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in CORPUS:
        assert loaded.encode(text).ids == tokenizer.encode(text).ids


@pytest.mark.parametrize(
    "texts", [[], [""], ["..."], ["\u65e5\u672c\u8a9e"], ["a"], ["\x00", "\U0010ffff", "e\u0301"]]
)
def test_poor_texts_give_a_tokenizer(texts):
    tokenizer, learned = train_tokenizer(texts, TokenizerSettings(vocabulary=256))
    assert learned >= 1
    assert tokenizer.encode("a text").ids is not None


def test_a_large_alphabet_is_limited_to_the_frequent():
    rare = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
    texts = [rare, *["\u65e5\u672c\u8a9e a b"] * 5]
    tokenizer, _ = train_tokenizer(texts, TokenizerSettings(vocabulary=5000))
    single = [p for p in tokenizer.get_vocab() if len(p.removeprefix("##")) == 1]
    assert len({piece.removeprefix("##") for piece in single}) <= 1001
    assert {"\u65e5", "\u672c", "\u8a9e", "a", "b"} <= {p.removeprefix("##") for p in single}


def test_the_same_pieces_in_every_process():
    program = """
import hashlib
from curate.encode.tokenizer import TokenizerSettings, train_tokenizer
from tests.contracts.records import make_pairs
pairs = make_pairs(1, 300)
texts = [p.query or "" for p in pairs] + [d.text or "" for p in pairs for d in p.positives]
for _ in range(2):
    tokenizer, learned = train_tokenizer(texts, TokenizerSettings(vocabulary=400))
    print(learned, hashlib.sha256(tokenizer.to_str().encode()).hexdigest())
"""
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ("0", "1")
    ]
    assert len({line for lines in told for line in lines}) == 1
