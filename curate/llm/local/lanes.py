"""Many prompts in one forward pass: nothing padded, nothing computed twice.

All tokens of a pass lie in one row, so the linear layers, where most of the time goes, see no
padding. Each prompt has a *lane* of the key-value cache. Its columns hold the prefix that all prompts
share, the rest of the prompt, and then the tokens of its *branches*: the continuations that are scored
or the answers that are drawn. A token sees the prompt and its own branch up to itself. So a prefix is
computed once for all prompts, and a prompt once for all its branches, whatever their lengths; and as
new tokens take the next free columns, decoding copies no cache.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.errors import CurateError

if TYPE_CHECKING:
    import torch

ATTENTION = "curate_lanes"
"""The name of this attention among those of transformers."""

PROMPT = -1
"""The branch of tokens that every branch of their lane sees."""
_EMPTY = -2
_GROWTH = 128  # columns

Tokens = tuple[int, ...]

Prefix = list[tuple["torch.Tensor", "torch.Tensor"]]
"""Keys and values of each layer, [tokens, key-value heads, width]."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens to compute: they follow each other in one branch of one lane.

    :param start: the position of the first of them in the text.
    """

    lane: int
    branch: int
    tokens: Sequence[int]
    start: int


def common_prefix(prompts: Collection[Tokens]) -> Tokens:
    """Return the tokens that all distinct prompts begin with, leaving each at least one of its own.

    A single prompt shares nothing.
    """
    if len(prompts) < 2:
        return ()
    first, last = min(prompts), max(prompts)  # no two share less than the first and last in order
    for length, (a, b) in enumerate(zip(first[:-1], last, strict=False)):
        if a != b:
            return first[:length]
    return first[:-1]


class Lanes:
    """A key-value cache with one lane for each of `count` prompts.

    :param room: the most columns that a lane may need, the prefix included.
    :param prefix: what all prompts share, computed before.
    :param keep: hold all layers, so that later passes see earlier tokens. Without it one layer's
        buffer serves all layers: enough for a single pass.
    """

    def __init__(self, count: int, room: int, prefix: Prefix | None, keep: bool) -> None:
        self.count = count
        self.shared = len(prefix[0][0]) if prefix else 0
        self.buffers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.capacity = 0
        self._prefix = prefix
        self._keep = keep
        self._used = np.full(count, self.shared)
        self._branch = np.full((count, room), _EMPTY, np.int32)
        self._position = np.zeros((count, room), np.int32)
        self._branch[:, : self.shared] = PROMPT
        self._position[:, : self.shared] = np.arange(self.shared)

    def clear(self, lane: int) -> None:
        """Make a lane free for another prompt."""
        self._used[lane] = self.shared
        self._branch[lane, self.shared :] = _EMPTY

    def place(self, pieces: Sequence[Piece]) -> Step:
        """Give the tokens of a forward pass their columns."""
        lengths = [len(piece.tokens) for piece in pieces]
        lane = np.repeat([piece.lane for piece in pieces], lengths)
        branch = np.repeat([piece.branch for piece in pieces], lengths)
        ids = np.concatenate([np.asarray(piece.tokens, np.int64) for piece in pieces])
        position = np.concatenate([p.start + np.arange(len(p.tokens)) for p in pieces])
        before = self._used.copy()
        column = np.empty(len(ids), np.int64)
        at = 0
        for piece, length in zip(pieces, lengths, strict=True):
            used = self._used[piece.lane]
            column[at : at + length] = np.arange(used, used + length)
            self._used[piece.lane] += length
            at += length
        self._branch[lane, column] = branch
        self._position[lane, column] = position
        self.capacity = max(self.capacity, -(-int(self._used.max()) // _GROWTH) * _GROWTH)
        return Step(self, ids, position, lane, branch, column, slot=column - before[lane])

    def columns(self, lanes: np.ndarray) -> int:
        """Return how many columns the fullest of some lanes has."""
        return int(self._used[lanes].max())

    def seen(self, lanes: np.ndarray, queries: Queries, window: int | None) -> np.ndarray:
        """Tell what each token sees.

        :param lanes: l numbers of lanes.
        :param queries: of each lane q tokens.
        :param window: how far back a token sees, or None: to the start.
        :return: bool [l, q, columns].
        """
        columns = self.columns(lanes)
        there = self._branch[lanes, None, :columns]
        seen: np.ndarray = (there == PROMPT) | (there == queries.branch[..., None])
        seen &= np.arange(columns) <= queries.column[..., None]
        if window is not None:
            seen &= self._position[lanes, None, :columns] > queries.position[..., None] - window
        return seen

    def write(
        self, layer: int, cells: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values of t tokens in a layer's buffers.

        :param cells: int64 [t], lane x capacity + column.
        :param key: [1, key-value heads, t, width]; `value` likewise.
        :return: the buffers of keys and values, [lanes, capacity, key-value heads, width].
        """
        place = layer if self._keep else 0
        held = self.buffers.get(place)
        keys, values = self.buffers[place] = (
            self._roomy(held[0] if held else None, key),
            self._roomy(held[1] if held else None, value),
        )
        if self._prefix and not (held and self._keep):
            keys[:, : self.shared], values[:, : self.shared] = self._prefix[layer]
        for buffer, new in ((keys, key), (values, value)):
            buffer.view(-1, *buffer.shape[2:]).index_copy_(0, cells, new[0].transpose(0, 1))
        return keys, values

    def _roomy(self, held: torch.Tensor | None, new: torch.Tensor) -> torch.Tensor:
        """Return a buffer of the present capacity with what is held already."""
        if held is not None and held.shape[1] == self.capacity:
            return held
        # Zeros: what is masked must still be finite.
        buffer = new.new_zeros(self.count, self.capacity, new.shape[1], new.shape[3])
        if held is not None:
            buffer[:, : held.shape[1]] = held
        return buffer


@dataclass(slots=True)
class Queries:
    """The tokens of a forward pass by lane: branch, column and position, int64 [lanes, tokens]."""

    branch: np.ndarray
    column: np.ndarray
    position: np.ndarray


class Step:
    """One forward pass: t tokens, each with its place in the lanes."""

    def __init__(
        self,
        lanes: Lanes,
        ids: np.ndarray,
        position: np.ndarray,
        lane: np.ndarray,
        branch: np.ndarray,
        column: np.ndarray,
        slot: np.ndarray,
    ) -> None:
        self.ids = ids
        self.positions = position
        self._lanes = lanes
        self._active, row = np.unique(lane, return_inverse=True)
        shape = len(self._active), int(slot.max()) + 1
        # Where a lane has fewer tokens, the rest of its row sees the first column; nothing reads it.
        self._queries = Queries(np.full(shape, PROMPT), np.zeros(shape, int), np.zeros(shape, int))
        for grid, values in (
            (self._queries.branch, branch),
            (self._queries.column, column),
            (self._queries.position, position),
        ):
            grid[row, slot] = values
        self._grid_index = row * shape[1] + slot
        self._cell_index = lane * lanes.capacity + column
        self._on_device: dict[Any, torch.Tensor] = {}

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        window: int | None,
    ) -> torch.Tensor:
        """Let each token attend to what it sees.

        Query heads that share keys are laid side by side, so that keys are read once.

        :param query: [1, heads, t, width].
        :param key: [1, key-value heads, t, width]; `value` likewise.
        :return: [1, t, heads, width of values].
        """
        from torch.nn.functional import scaled_dot_product_attention

        heads, width = query.shape[1], query.shape[3]
        shared, (lanes, slots) = key.shape[1], self._queries.branch.shape
        group = heads // shared
        keys, values = self._lanes.write(layer, self._tensor("_cell_index", key), key, value)
        columns = self._lanes.columns(self._active)
        index = self._tensor("_grid_index", query)
        grid = query.new_zeros(lanes * slots, heads, width)
        grid.index_copy_(0, index, query[0].transpose(0, 1))
        grid = grid.view(lanes, slots, shared, group, width).permute(0, 2, 3, 1, 4)
        out = scaled_dot_product_attention(
            grid.reshape(lanes, shared, group * slots, width),
            self._rows(keys)[:, :columns].transpose(1, 2),
            self._rows(values)[:, :columns].transpose(1, 2),
            attn_mask=self._bias(group, window, query),
            scale=scale,
        )
        out = out.view(lanes, shared, group, slots, -1).permute(0, 3, 1, 2, 4)
        return out.reshape(lanes * slots, heads, -1)[index].unsqueeze(0)

    def _rows(self, buffer: torch.Tensor) -> torch.Tensor:
        """Return the active lanes of a buffer: a view where they follow each other."""
        first, last = int(self._active[0]), int(self._active[-1])
        if last - first + 1 == len(self._active):
            return buffer[first : last + 1]
        return buffer[self._tensor("_active", buffer)]

    def _tensor(self, name: str, like: torch.Tensor) -> torch.Tensor:
        """Return an array of this step as a tensor on the device of another."""
        import torch

        if name not in self._on_device:
            self._on_device[name] = torch.from_numpy(getattr(self, name)).to(like.device)
        return self._on_device[name]

    def _bias(self, group: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Return 0 where a token sees and -inf elsewhere, [lanes, 1, group x tokens, columns]."""
        import torch

        if (group, window) not in self._on_device:
            seen = torch.from_numpy(self._lanes.seen(self._active, self._queries, window))
            bias = torch.zeros(seen.shape, dtype=like.dtype).masked_fill_(~seen, -torch.inf)
            self._on_device[group, window] = bias.repeat(1, group, 1)[:, None].to(like.device)
        return self._on_device[group, window]


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    *,
    step: Step,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over lanes, in the form in which transformers calls it.

    :param step: given to the model's forward pass, which hands it through.
    :raises CurateError: if the model attends in a way that is not known here.
    """
    for name in ("softcap", "s_aux"):
        if settings.get(name) is not None:
            raise CurateError(f"{type(module).__name__} attends with {name!r}: not supported")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = settings.get("sliding_window")
    return step.attend(module.layer_idx, query, key, value, scale, window), None
