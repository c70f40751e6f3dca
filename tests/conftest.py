import pytest

from tests.contracts.records import static_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A tiny static model that is the same wherever the tests run."""
    return static_model(tmp_path_factory.mktemp("model"))
