"""The stage that trains an encoder on pairs by contrast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from curate.encode.folds import LeftOut
from curate.encode.neighbours import fast_bfloat16
from curate.encode.tokenizer import TokenizerSettings
from curate.errors import CurateError
from curate.schema import Kind
from curate.stage import Build, Built, Context, Inputs, Ref
from curate.train.batches import Homogeneous, read_pairs


class ContrastiveTraining(Build):
    """Train an encoder on pairs by contrast with other passages.

    Saved as a folder that `SentenceTransformer(folder)` loads. Holds the texts of all pairs and their
    token ids in memory: about 1.5 KB a pair of 1,000 characters.
    """

    name: ClassVar[str] = "train.contrastive"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)

    encoder: Literal["static"] = "static"
    """What is trained: `static`, a mean of word vectors with a tokenizer learned on the pairs."""
    start: Annotated[str | None, Ref("model", path=True)] = None
    """A model to go on from, with its tokenizer; by default a new one."""
    tokenizer: TokenizerSettings = TokenizerSettings()
    """How a new encoder reads text."""
    dimension: int = Field(256, ge=2)
    """The length of a new encoder's vectors."""
    name_weight: float = Field(6.0, gt=0)
    """How much longer the vector of a word in a defined name starts (`tokenizer.code`)."""
    loss: Literal["infonce"] = "infonce"
    """The loss (`curate.train.losses`)."""
    symmetric: bool = True
    """Whether each positive must also find its query."""
    temperature: float = Field(0.05, gt=0)
    """Divides the cosines."""
    negatives: int = Field(0, ge=0)
    """Hard negatives to use of each pair, at most."""
    epochs: int = Field(2, ge=1)
    """Passes over the pairs."""
    batch_size: int = Field(1024, ge=2)
    """Pairs in a step; each has the others' passages as negatives."""
    homogeneous: Homogeneous = "none"
    """Draw a batch from one `source` or `group` as far as it goes: nearer negatives."""
    learning_rate: float = Field(0.01, gt=0)
    """The highest step size of Adam."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """The share of the steps over which the step size rises."""
    leave_out: LeftOut | None = None
    """A part of the pairs to leave out, for `filter.consistency` to judge by a model that never saw
    them (cross-fitting); by default none."""
    validation: float = Field(0.0, ge=0, le=0.5)
    """The share of the pairs that is not trained on but tells when to stop; 0 trains to the end."""
    checks: int = Field(4, ge=1)
    """How often an epoch the loss on them is taken; the vectors of the lowest one are the model."""
    patience: int = Field(2, ge=1)
    """Training stops when so many checks in a row were worse than the best."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the products of vectors; `auto` is `bf16` on a CPU that has instructions for it."""
    seed: int = Field(0, ge=0)
    """Draws the first vectors and the batches."""

    def uses_bfloat16(self) -> bool:
        """Tell whether products are made in bfloat16 on this machine."""
        return self.precision == "bf16" or (self.precision == "auto" and fast_bfloat16())

    def build(self, inputs: Inputs, folder: Path, context: Context) -> Built:
        """Train and save."""
        import torch

        from curate.encode.static import StaticEncoder
        from curate.encode.tokenizer import train_tokenizer
        from curate.train.static import initial_weights, read_texts, train_static

        torch.set_num_threads(context.threads)
        left_out = self.leave_out.rows if self.leave_out else None
        pairs = read_pairs(inputs.main, self.negatives, self.homogeneous, left_out)
        if len(pairs) < 2:
            raise CurateError(
                f"{len(pairs)} pairs with a query and a positive: nothing to contrast"
            )
        context.progress(0, 0, "tokenizer")
        if self.start:
            begun = StaticEncoder.load(inputs.model("start"))
            tokenizer, weights = begun.tokenizer, begun.weights
            texts = read_texts(tokenizer, pairs)
        else:
            tokenizer, learned = train_tokenizer(pairs.queries + pairs.passages, self.tokenizer)
            texts = read_texts(tokenizer, pairs)
            weights = initial_weights(tokenizer, learned, texts, self)
        weights, notes = train_static(weights, texts, pairs, self, context.folder, context.progress)
        StaticEncoder(tokenizer, weights).save(folder)
        if self.leave_out:
            self.leave_out.save(folder)
        context.note(**notes, pairs=len(pairs), vocabulary=len(weights))
        return self._account(inputs, len(pairs))

    def _account(self, inputs: Inputs, used: int) -> Built:
        """Count what was not used, and why."""
        out = 0
        if self.leave_out:
            out = sum(int(self.leave_out.rows(table).sum()) for table in inputs.main.tables())
        dropped = {"left_out": out, "no_text": len(inputs.main) - used - out}
        return Built(len(inputs.main), used, {why: n for why, n in dropped.items() if n})
