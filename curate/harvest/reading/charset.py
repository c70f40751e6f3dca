"""The encoding of a text or a web page: what it is, what is said of it, and what is left to guess."""

from __future__ import annotations

import codecs
import re

from curate.errors import MissingExtraError

_SAID = re.compile(
    rb"<(?:meta[^>]{1,300}?charset|\?xml[^>]{1,100}?encoding)\s{0,5}=\s{0,5}[\"']?\s{0,5}"
    rb"([\w:.-]{2,40})",
    re.IGNORECASE,
)
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NAME = re.compile(
    r"(?:x-)?(?:utf-?(?:8|16|32)|iso|win|cp|koi|big|gb|euc|shift|sjis|mac|tis|latin|ks|us-a|asc)"
)
# What these names mean on the web: a larger set that holds theirs (the Encoding Standard's labels).
_WIDER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_HEAD_BYTES = 4_096
_HIGH = re.compile(rb"[^<>]{0,40}[\x80-\xff]{2}[^<>]{0,40}")


def decoded_html(data: bytes, charset: str | None = None) -> str:
    """Decode a page: as what it is where that is certain, else as is said, else by a guess.

    Bytes that are valid UTF-8 are UTF-8, whatever is said: no other text is so by chance.

    :param charset: what the server says.
    """
    for bom, encoding in _BOMS.items():
        if data.startswith(bom):
            return data.decode(encoding, "replace")
    meta = _SAID.search(data, 0, _HEAD_BYTES)
    said = [charset or "", meta[1].decode("latin-1") if meta else ""]
    named = [codec for name in said if (codec := _codec(name))]
    stateful = [codec for codec in named if "2022" in codec or codec == "hz"]
    if stateful:  # ASCII, and so UTF-8, to look at
        return data.decode(stateful[0], "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 3:  # cut off within a character
            return data.decode("utf-8", "ignore")
    for codec in [*named, "utf-8"]:
        text = data.decode(codec, "replace")
        if text.count("\ufffd") <= 1 + len(text) // 1_000:
            return text
    return data.decode(_guess(data), "replace")


def _codec(name: str) -> str | None:
    name = name.strip().lower()
    if not _NAME.match(name):
        return None
    try:
        found = codecs.lookup(name.removeprefix("x-")).name
    except (LookupError, ValueError):
        return None
    return _WIDER.get(found, found)


def _guess(data: bytes) -> str:
    """Guess from what lies around characters beyond ASCII, as markup looks the same in all."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        raise MissingExtraError("charset-normalizer", "harvest") from None
    high = b" ".join(_HIGH.findall(data, 0, 1 << 18)[:50])[:_HEAD_BYTES]
    best = from_bytes(high).best() if high else None
    return best.encoding if best else "cp1252"


def decoded(data: bytes, declared: str | None = None) -> str:
    """Decode text: by its byte order mark, as declared, as UTF-8, at last as Windows-1252.

    Never fails: what fits nothing is decoded with replacement characters.
    """
    for mark, encoding in _BOMS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    for encoding in filter(None, (declared, "utf-8", "cp1252")):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("utf-8", "replace")
