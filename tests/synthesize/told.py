"""A model that says what it is told, for tests of what becomes of each answer."""

import json

from curate.llm.base import Chosen, Generated
from curate.schema import Pair, Passage, from_table, to_table


class Told:
    """Gives the answers it was told to, in order, and remembers the requests.

    :param answers: texts, objects to be written as JSON, or functions of the request that return one.
    """

    def __init__(self, answers):
        self.answers, self.requests = list(answers), []

    def generate(self, requests):
        start = len(self.requests)
        self.requests += requests
        return [
            _generated(answer, request)
            for answer, request in zip(
                self.answers[start : start + len(requests)], requests, strict=True
            )
        ]

    def choose(self, requests):
        start = len(self.requests)
        self.requests += requests
        return [Chosen(tuple(p), 10) for p in self.answers[start : start + len(requests)]]


def _generated(answer, request):
    if callable(answer):
        answer = answer(request)
    if isinstance(answer, Generated):
        return answer
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return Generated(text, "stop", 10, 5)


def asked(stage, records, answers):
    """Run a stage on some records; return the records it keeps, the rows it drops, and the requests."""
    kind = "passages" if isinstance(records[0], Passage) else "pairs"
    model = Told(answers)
    outcome = stage.ask(to_table(records, kind), None, model)
    assert outcome.kept_inputs + len(outcome.dropped) == len(records)
    return from_table(outcome.kept), outcome.dropped.to_pylist(), model.requests


def passage(text, **given):
    return Passage(text, "wiki", "page", license="MIT", url="https://example.org", **given)


def pair(query, doc, **given):
    return Pair("title-body", query, [doc], "news", "page", **given)
