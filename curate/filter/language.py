"""The filter on languages: what each side is in, whether that is wanted, and whether it is as stated."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.schema import DOC, Kind, replace_docs, with_score
from curate.sources import BySource
from curate.stage import Map, Outcome, decide
from curate.text.identify import identified_as, identifier, identify, primary

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_NONE_STATED = ("", "und", "mul", "zxx", "mis")
"""Tags that say nothing of a text's language."""
_CASE = ("stated", "found", "sure", "judged")


class Side(NamedTuple):
    """The language of one side of a record."""

    stated: str | None
    """The tag that the record has."""
    found: str | None
    """What was identified, if that counts."""
    sure: bool
    """Whether it counts against what is stated, too."""
    judged: bool
    """Whether the text is in some language: neither code nor without letters."""

    @property
    def contradicted(self) -> bool:
        """Whether the text is surely in another language than the record says."""
        if self.stated is None or not self.sure:
            return False
        expected = identified_as(self.stated)
        return bool(expected) and self.found not in expected

    def language(self, replace: bool) -> str | None:
        """Return the language to go by: what is stated, if nothing speaks against it.

        :param replace: whether what was found counts more than a statement that it contradicts.
        """
        return self.found if self.stated is None or (replace and self.contradicted) else self.stated


class LanguageFilter(BySource, Map):
    """Keep texts in wanted languages, and pairs whose sides are in the languages they should be.

    The languages of the query, of the first positive's text and of passages are identified offline
    (`text.identify`). Where a record states none, the one found counts from `min_confidence` and
    `min_letters` on, and is written into the record and into all its positives. Where it states one, only
    a text that is surely in another (`wrong_confidence`, `wrong_letters`) speaks against it, as
    untranslated paragraphs of a bitext do; languages that the identifier does not know are believed. Code
    and texts without letters have no language, and pass unless they state an unwanted one. Scores:
    `query_language_confidence`, `passage_language_confidence`; of passages `language_confidence`.
    """

    name: ClassVar[str] = "filter.language"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")
    varying: ClassVar[frozenset[str]] = frozenset(
        (
            *("keep", "on", "unknown", "min_confidence", "min_letters"),
            *("stated", "same_language", "wrong_confidence", "wrong_letters"),
        )
    )

    keep: list[str] = Field([])
    """The languages to keep, as BCP 47 tags: `pt` keeps `pt-BR` too, `pt-BR` only what states that.
    Empty: all."""
    on: Literal["both", "query", "passage"] = "both"
    """The sides of a pair that `keep` and `unknown` are about."""
    unknown: Literal["keep", "drop"] = "keep"
    """What becomes of texts that state no language and have none that counts."""
    min_confidence: float = Field(0.8, ge=0, le=1)
    """The probability from which on a language that is found counts."""
    min_letters: int = Field(8, ge=1)
    """Letters a text must have for that; one of Cyrillic counts as two, one of Han or kana as three."""
    stated: Literal["check", "replace"] = "check"
    """What becomes of a text that is surely in another language than its record states: it is dropped, or
    the language found replaces the one stated."""
    same_language: bool = True
    """Drop pairs whose sides are surely in two languages, unless they state two, as bitext does."""
    wrong_confidence: float = Field(0.9, ge=0, le=1)
    """The probability from which on a language that is found counts against another, of the record or of
    the other side: few statements are wrong, so more is asked of what denies them."""
    wrong_letters: int = Field(24, ge=1)
    """Letters a text must have for that, counted as those of `min_letters`."""

    def check(self) -> None:
        """Refuse what is no language tag, and a missing identifier.

        :raises MissingExtraError: if the identifier is not installed.
        :raises ValueError: naming the tag.
        """
        identifier()
        for tag in self.keep:
            if not _TAG.fullmatch(tag):
                raise ValueError(f"keep: {tag!r} is not a language tag, such as `en` or `pt-BR`")
        super().check()

    def material(self) -> dict[str, Any]:
        """Return what identifies the work: besides the settings the identifier."""
        return super().material() | {"identifier": identifier()}

    def map(self, table: pa.Table) -> Outcome:
        """Keep the records whose languages are wanted and true; write languages and scores."""
        kind: Kind = "pairs" if "query" in table.column_names else "passages"
        groups = list(self.variants(table)) if len(table) else [(self, np.empty(0, np.int64))]
        parts = [
            (variant._pairs if kind == "pairs" else variant._passages)(table.take(pa.array(rows)))
            for variant, rows in groups
        ]
        place = np.argsort(np.concatenate([rows for _, rows in groups]))
        decided = pl.concat([verdicts for _, verdicts in parts])[place]
        judged = pa.concat_tables(part for part, _ in parts).take(pa.array(place))
        return decide(judged, _arrow(decided["reason"]), _arrow(decided["detail"]), kind)

    # -- the two kinds of record -------------------------------------------------------------------

    def _passages(self, table: pa.Table) -> tuple[pa.Table, pl.DataFrame]:
        found = self._identify(_strings(table["text"]), _strings(table["language"]))
        table = _with_language(table, found["language"])
        scored = with_score(table, "language_confidence", found["confidence"].to_numpy())
        return scored, self._verdicts({"passage": found})

    def _pairs(self, table: pa.Table) -> tuple[pa.Table, pl.DataFrame]:
        lists = pa.concat_arrays([*table["positives"].chunks, pa.array([], pa.list_(DOC))])
        docs = lists.flatten()
        counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        texts = [_strings(table["query"]), _strings(docs.field("text"))]
        stated = [_strings(table["language"]), _strings(docs.field("language"))]
        found = self._identify(pl.concat(texts), pl.concat(stated))
        queries, passages = found[: len(table)], found[len(table) :]
        firsts = np.where(counts > 0, np.cumsum(counts) - counts, -1)
        sides = {"query": queries, "passage": _rows_or_null(passages, firsts)}
        table = _with_language(table, queries["language"])
        known = {"language": _arrow(passages["language"])}
        parts = [known.get(f.name, docs.field(f.name)) for f in DOC]
        filled = pa.StructArray.from_arrays(parts, fields=list(DOC))
        table = replace_docs(table, "positives", filled, counts)
        for name, side in sides.items():
            table = with_score(table, f"{name}_language_confidence", side["confidence"].to_numpy())
        return table, self._verdicts(sides)

    # -- judgement ---------------------------------------------------------------------------------

    def _identify(self, texts: pl.Series, stated: pl.Series) -> pl.DataFrame:
        """Return for each text the columns of `Side`, the `language` to go by, and `confidence`."""
        letters, confidence = pl.col("letters"), pl.col("confidence")
        counts = (confidence >= self.min_confidence) & (letters >= self.min_letters)
        sure = (confidence >= self.wrong_confidence) & (letters >= self.wrong_letters) & counts
        frame = identify(texts).select(
            pl.when(~stated.is_in(_NONE_STATED)).then(stated).alias("stated"),
            pl.when(counts).then("language").alias("found"),
            sure.fill_null(False).alias("sure"),
            (letters > 0).alias("judged"),
            "confidence",
        )
        cases = frame.select(_CASE).unique(maintain_order=True)
        languages = [Side(*case).language(self._replaces) for case in cases.rows()]
        cases = cases.with_columns(pl.Series("language", languages, pl.String))
        return _look_up(frame, cases).with_columns(pl.coalesce("language", stated))

    def _verdicts(self, sides: dict[str, pl.DataFrame]) -> pl.DataFrame:
        """Return `reason` and `detail` of each record, null where it is kept.

        :param sides: what `_identify` found, by the name of the side.
        """
        named = [side.select(pl.col(_CASE).name.prefix(name)) for name, side in sides.items()]
        frame = pl.concat(named, how="horizontal")
        cases = frame.unique(maintain_order=True)
        verdicts = [self._verdict(_sides(row, list(sides))) for row in cases.rows()]
        judged = pl.DataFrame(verdicts, {"reason": pl.String, "says": pl.String}, orient="row")
        confidence = [side["confidence"].alias(name) for name, side in sides.items()]
        return (
            _look_up(frame, cases.hstack(judged))
            .with_columns(confidence)
            .select("reason", detail=_told(pl.col("says"), list(sides)))
        )

    @property
    def _replaces(self) -> bool:
        return self.stated == "replace"

    def _verdict(self, sides: dict[str, Side]) -> tuple[str | None, str | None]:
        """Judge the records whose sides have certain languages: a reason to drop them, and a detail."""
        for name, side in sides.items():
            if side.contradicted and not self._replaces:
                return f"{name}_wrong_language", f"{name} is {side.found}, stated {side.stated}"
        languages = {name: side.language(self._replaces) for name, side in sides.items()}
        if self.same_language and _differ(list(sides.values()), list(languages.values())):
            return "languages_differ", ", ".join(f"{n} is {tag}" for n, tag in languages.items())
        for name, side in sides.items():
            language = languages[name]
            if self.on not in ("both", name) and len(sides) > 1:
                continue
            if language is None and side.judged and self.unknown == "drop":
                return f"{name}_unknown_language", f"{name} has no language that is sure"
            if language is not None and not self._wants(language, side):
                return f"{name}_unwanted_language", f"{name} is {language}, keep {self.keep}"
        return None, None

    def _wants(self, language: str, side: Side) -> bool:
        if not self.keep:
            return True
        tag = language.lower()
        if any(
            tag == range_ or tag.startswith(f"{range_}-") for range_ in map(str.lower, self.keep)
        ):
            return True
        # What is found has other codes for some languages; what is stated means what it says.
        return side.stated != language and any(
            language in identified_as(range_) for range_ in self.keep if "-" not in range_
        )


def _sides(row: tuple[Any, ...], names: list[str]) -> dict[str, Side]:
    """Read the sides of a case from a row that has the columns of one after those of the other."""
    width = len(_CASE)
    return {name: Side(*row[n * width : (n + 1) * width]) for n, name in enumerate(names)}


def _differ(sides: list[Side], languages: list[str | None]) -> bool:
    """Tell whether two sides are surely in two languages, and do not state that they are."""
    if len(sides) < 2 or not all(side.stated or side.sure for side in sides):
        return False
    if sides[0].stated and sides[1].stated and primary(sides[0].stated) != primary(sides[1].stated):
        return False
    one, other = (identified_as(tag) for tag in languages if tag)
    return bool(one) and bool(other) and one.isdisjoint(other)


def _look_up(frame: pl.DataFrame, cases: pl.DataFrame) -> pl.DataFrame:
    """Give each row what is known of its case: the columns that `cases` has beside those of `frame`."""
    on = [name for name in frame.columns if name in cases.columns]
    return frame.join(cases, on=on, how="left", nulls_equal=True, maintain_order="left")


def _told(says: pl.Expr, sides: list[str]) -> pl.Expr:
    """Append to what is said how sure the languages are: `passage is de, stated en; passage 0.97`."""
    sure = [pl.format(f"{name} {{}}", pl.col(name)) for name in sides]
    figures = pl.concat_str(sure, separator=", ", ignore_nulls=True)
    return pl.when(figures == "").then(says).otherwise(pl.concat_str(says, figures, separator="; "))


def _strings(values: pa.ChunkedArray | pa.Array) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


def _arrow(values: pl.Series) -> pa.Array:
    return values.to_arrow().cast(pa.string())


def _with_language(table: pa.Table, languages: pl.Series) -> pa.Table:
    index = table.schema.get_field_index("language")
    return table.set_column(index, table.schema.field(index), _arrow(languages))


def _rows_or_null(frame: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    """Return the rows of a frame, and a row of nulls for -1."""
    places = pl.Series(np.where(rows < 0, 0, rows)).set(pl.Series(rows < 0), None)
    return frame.select(pl.all().gather(places))
