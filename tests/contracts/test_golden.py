"""A stage that gives other rows has another version, or users' stores would keep the old ones."""

import pytest

from tests.contracts import golden
from tests.contracts.harness import CASES

HOW = "`python -m tests.contracts.golden` (see its docstring)"


@pytest.mark.parametrize(
    ("name", "kind"), CASES, ids=[golden.label(name, kind) for name, kind in CASES]
)
def test_rows_change_only_with_the_version(model, made_sources, tmp_path, name, kind):
    known = golden.read().get(golden.label(name, kind))
    assert known, f"{name} has no golden rows yet: add them by {HOW}"
    found = golden.golden(name, kind, model, made_sources.get(name, {}), tmp_path)
    if found["version"] == known["version"]:
        assert found == known, (
            f"{name} gives other rows but is still version {found['version']}: mend it, or raise "
            f"`version` and renew the golden rows by {HOW}"
        )
    else:
        raise AssertionError(f"{name} has a new version: renew its golden rows by {HOW}")


def test_no_golden_rows_of_stages_that_are_gone():
    gone = golden.read().keys() - {golden.label(*case) for case in CASES}
    assert not gone, f"remove {gone}: {HOW}"
