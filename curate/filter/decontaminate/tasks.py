"""The texts of MTEB tasks (Muennighoff et al. 2023, arXiv:2210.07316), read by the package `mteb`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from curate.filter.decontaminate.sets import Corpus, Item, corpus_items, item, texts_in
from curate.text.testsets import DatasetError, Document

# Columns of text that is no text of the set: what a task predicts, and names of things.
_NOT_TEXTS = {"_id", "id", "idx", "label", "labels", "label_text", "lang", "language", "split"}


def task_items(name: str, splits: list[str] | None, corpus: Corpus) -> Iterator[Item]:
    """Give the texts of a task: of retrieval queries and passages, of others texts that are neither.

    Data come from the cache of `datasets`, or from the hub where there is one.

    :param splits: by default those that the task evaluates.
    :raises DatasetError: if there is no such task or split, or its data cannot be had.
    """
    task = _loaded(name, splits)
    seen: set[Item] = set()
    for split, data in _splits(task.dataset, set(task.eval_splits)):
        items = _retrieval(data, corpus) if "corpus" in data else _texts(data, f"{name}, {split}")
        for found in items:
            if found not in seen:  # subsets of a task often share their corpus
                seen.add(found)
                yield found


def _loaded(name: str, splits: list[str] | None) -> Any:
    import mteb

    try:
        task: Any = mteb.get_task(name, eval_splits=splits)
    except (KeyError, ValueError) as error:
        raise DatasetError(f"mteb: no task {name!r}, or not with these splits: {error}") from None
    try:
        task.load_data()
    except Exception as error:  # of the hub, of the network, or of the data
        raise DatasetError(
            f"mteb: the data of the task {name!r} are neither in the cache nor can they be reached: "
            f"{type(error).__name__}: {error}; load them where there is a network with `mteb.get_task("
            f"{name!r}).load_data()`, and copy the folder HF_HOME"
        ) from None
    return task


def _splits(data: Any, wanted: set[str]) -> Iterator[tuple[str, Any]]:
    """Find the data of the splits, which may lie below subsets."""
    for key, value in data.items():
        if isinstance(value, Mapping) and "corpus" not in value:
            yield from _splits(value, wanted)
        elif key in wanted:
            yield key, value


def _retrieval(data: Mapping[str, Any], corpus: Corpus) -> Iterator[Item]:
    for row in data["queries"]:
        for text in texts_in(row["text"], "queries"):
            yield item("query", str(row["id"]), text)
    judged = data["relevant_docs"].values()
    relevant = {name for grades in judged for name, grade in grades.items() if grade > 0}
    passages = (
        (str(row["id"]), Document(row.get("title") or "", row.get("text") or ""))
        for row in data["corpus"]
    )
    yield from corpus_items(passages, corpus, relevant)


def _texts(data: Any, where: str) -> Iterator[Item]:
    for number, row in enumerate(data, 1):
        for column, value in row.items():
            if column not in _NOT_TEXTS and _is_text(value):
                for text in texts_in(value, where):
                    yield item("text", str(number), text)


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_text, value))
    return isinstance(value, str)
