import numpy as np
import pytest

from curate.encode import load_encoder
from curate.evaluate.datasets import StsSet
from curate.evaluate.sts import evaluate_sts


def test_spearman_of_cosines(static_model):
    first = ["read file", "read file", "read file", "sort"]
    second = ["read file", "write file", "sort list", "sort graph list"]
    gold = np.array([5.0, 3.0, 0.0, 1.0])
    report = evaluate_sts(load_encoder(static_model), StsSet("tiny", first, second, gold))
    # cosines 1, 0.5, 0, 0.58 have the ranks 4, 2, 1, 3; the gold scores 4, 3, 1, 2
    assert report.spearman == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert (report.data, report.pairs) == ("tiny", 4)
    assert report.to_dict()["spearman"] == report.spearman
