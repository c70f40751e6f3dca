"""A source made for tests: messages, one JSON object a line, each paired with the one it replies to."""

import json
from collections.abc import Iterator
from typing import ClassVar

from curate.harvest.base import StreamSource
from curate.harvest.reading.streams import Chunk
from curate.schema import Doc, Pair, Record
from curate.stage import Drop, Found, Joined, Piece


class Replies(Joined, StreamSource):
    """Pair messages with their replies."""

    name: ClassVar[str] = "tests.replies"

    def read(self, chunk: Chunk, data: bytes) -> Iterator[Found]:
        for line in data.splitlines():
            try:
                message = json.loads(line)
            except ValueError:
                yield Drop("broken", f"{chunk.file.name}: {line[:20]!r}")
                continue
            yield Piece(str(message["thread"]), message)

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        texts = {piece.data["id"]: piece.data["text"] for piece in pieces}
        for piece in pieces:
            parent = texts.get(piece.data["to"])
            if parent is None:
                yield Drop("no_parent", str(piece.data["id"]))
            else:
                yield [self._pair(key, parent, piece.data)]

    def _pair(self, key: str, parent: str, reply: dict) -> Pair:
        doc = Doc(reply["text"])
        return Pair("reply", parent, [doc], "tests", key, license=reply["license"])
