"""Grades by the probabilities of a prompt's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from curate.llm.base import Choose

if TYPE_CHECKING:
    from curate.llm.prompts import Prompt
    from curate.llm.recorded import Recorded


def expected_grades(
    prompt: Prompt, asked: Sequence[Mapping[str, str]], model: Recorded
) -> list[float]:
    """Return the expected grade over a prompt's labels, by their probabilities.

    Zhuang et al. 2023, arXiv:2310.14122.

    :param prompt: has labels with grades, and ends where a label begins.
    :param asked: the values of the prompt's variables, n of them.
    :return: n grades; nan where the model gave none.
    """
    labels = {f" {label}": grade for label, grade in (prompt.labels or {}).items()}
    requests = [Choose(prompt.render(**values), tuple(labels)) for values in asked]
    grades = np.array(list(labels.values()))
    return [float(grades @ answer.probabilities) for answer in model.choose(requests)]
