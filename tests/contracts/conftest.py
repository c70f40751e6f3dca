import sys

import pytest

from tests.contracts import harness


@pytest.fixture(scope="session")
def made_sources(tmp_path_factory):
    """For each source the settings that read an input made here."""
    path = list(sys.path)
    yield {name: make(tmp_path_factory.mktemp("source")) for name, make in harness.SOURCES.items()}
    sys.path[:] = path
