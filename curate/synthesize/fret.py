"""FRet's first step: a language model reads a passage and writes queries that the passage answers."""

from __future__ import annotations

from typing import ClassVar

from curate.synthesize.family import QUERY, TASK
from curate.synthesize.passages import FromPassages


class FRet(FromPassages):
    """Have a language model read passages and write (task, query) pairs that each answers.

    Lee et al. 2024 (Gecko), arXiv:2403.20327, section 3.1. Each usable query becomes a pair with its
    passage as the positive; a passage without one is dropped. Not usable is an answer that was cut
    off or is not of the prompt's schema, and a query that is too short or too long, copies the task or
    an example of the prompt, stands word for word in the passage, is not grounded in it, or repeats an
    earlier one; the pair's `meta` counts those. Small models err often: draw several `candidates`,
    then keep those that find their passage (`filter.consistency`) and that it makes likelier than
    other queries (`filter.likelihood`).
    """

    name: ClassVar[str] = "synthesize.fret"

    prompt: str = "fret-code"
    """The prompt file: it takes `passage`, and may take `name`, the passage's title or, of code, the
    words of what it defines; its schema has `task` and `query`. `fret-code` is for Python, `fret-text`
    for any other text. With `tasks` it takes `task` too, as `fret-task` does, and need not write one."""

    def writes(self) -> tuple[str, ...]:
        """Return the fields that the prompt's schema must have."""
        return (TASK, QUERY) if self.tasks is None else (QUERY,)

    def check(self) -> None:
        """Refuse tasks that the prompt does not take."""
        super().check()
        if self.tasks is not None and TASK not in self.prompt_of("prompt").variables:
            raise ValueError(
                f"tasks: {self.prompt} does not take `task`, so queries would not fit what is drawn: "
                "use the prompt fret-task, or one of your own"
            )
