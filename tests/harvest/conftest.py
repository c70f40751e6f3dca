import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data():
    """The folder of real dumps that `CURATE_DATA` names."""
    folder = os.environ.get("CURATE_DATA")
    if not folder:
        pytest.skip("CURATE_DATA does not name the folder of real dumps")
    return Path(folder)
