import pytest

from curate.engine.local import run
from curate.engine.progress import PlainReporter
from curate.recipe import Recipe


class Told(PlainReporter):
    """Remembers what happened instead of printing it."""

    def __init__(self):
        super().__init__()
        self.reused, self.ran, self.said = [], [], []

    def finish(self, stage, account, seconds, reused):
        (self.reused if reused else self.ran).append(stage)

    def say(self, message):
        self.said.append(message)


@pytest.fixture
def execute(tmp_path):
    """Run a recipe, in YAML or built, and return the run and what its reporter was told."""

    def execute(recipe, output=tmp_path / "output", workers=1, **options):
        recipe = Recipe.parse(recipe) if isinstance(recipe, str) else recipe
        told = Told()
        return run(recipe, output, workers=workers, reporter=told, **options), told

    return execute
