"""A checksum within a safetensors file, by which damage is noticed wherever it is.

It has 64 bits: BLAKE2b of the header, its own place taken to be zeros, and of
what is left of the body when that is laid out as a table of 8-byte words: the
sums of all rows, and of all columns. Hashing the body itself would take several
times as long as reading it. Both sums of a table stay the same only if at least
four words change, in two rows and two columns, and cancel exactly. A run of up
to 8,000 bytes has no two words in a column, so its damage cannot.

It tells damage, not intent: whoever changes a file can compute it anew. Earlier
checkpoints carry a CRC-32.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from hashlib import blake2b

import numpy as np

from skcmanp.layout import metadata_of, start_of_body

_PLACE = b"0" * 16
_PLACE_OF_CRC = b"0" * 8

# Words of 8 bytes in a row of the table.
_COLUMNS, _WORD = 1024, np.dtype("<u8")

_DECODER = json.JSONDecoder()


def unsealed(text: str) -> str:
    """Metadata with a place for the checksum before it."""
    return _PLACE.decode() + text


def seal(data: bytes, key: str) -> bytes:
    """The file with its checksum, before the metadata of this key."""
    start = data.index(_mark(key)) + len(_mark(key))
    return b"".join((data[:start], _checksum(data, start), memoryview(data)[start + len(_PLACE) :]))


def check_seal(data: bytes, key: str, before: str | None = None, before_has_crc: bool = False) -> str:
    """The metadata of this key, without the checksum; or of the key of the format before.

    Raises
    ------
    ValueError
        If the bytes are not what they were when they were sealed.
    """
    return split_header(data, key, before, before_has_crc)[0]


def split_header(data: bytes, key: str, before: str | None = None, before_has_crc: bool = False) -> tuple[str, str]:
    """The same, and the header without it: files whose arrays are alike but for their values have the same.

    Raises
    ------
    ValueError
        If the bytes are not what they were when they were sealed.
    """
    for known, checksum_of in ((key, _checksum), (before, _crc if before_has_crc else _checksum)):
        if known is not None and (found := data.find(_mark(known), 8, start_of_body(data))) >= 0:
            return _checked(data, found + len(_mark(known)), checksum_of)
    raise ValueError(f"this version reads {key}, and these are {', '.join(metadata_of(data)) or 'no such file'}")


def _checked(data: bytes, start: int, checksum_of: Callable[[bytes, int], bytes]) -> tuple[str, str]:
    """The text with a checksum from `start` on, without it, and the header with none in its place."""
    checksum = checksum_of(data, start)
    if data[start : start + len(checksum)] != checksum:
        raise ValueError("their checksum is another than when they were written")
    quoted = data[start - 1 : start_of_body(data)].decode()
    text, end = _DECODER.raw_decode(quoted)
    return text[len(checksum) :], f'{data[8 : start - 1].decode()}""{quoted[end:].rstrip(" ")}'


def _checksum(data: bytes, start: int) -> bytes:
    """Of all bytes but the checksum's own, which starts there, as hexadecimal digits."""
    view, body = memoryview(data), min(start_of_body(data), len(data))
    n_words = (len(data) - body) // (8 * _COLUMNS) * _COLUMNS
    table = np.frombuffer(data, _WORD, n_words, body).reshape(-1, _COLUMNS)
    digest = blake2b(view[:start], digest_size=len(_PLACE) // 2)
    rest = view[start + len(_PLACE) : body], view[body + 8 * n_words :]
    for part in (_PLACE, *rest, *(np.add.reduce(table, axis).astype(_WORD, copy=False).data for axis in (0, 1))):
        digest.update(part)
    return digest.hexdigest().encode()


def _crc(data: bytes, start: int) -> bytes:
    """The CRC-32 of the same."""
    view = memoryview(data)
    checksum = zlib.crc32(view[start + len(_PLACE_OF_CRC) :], zlib.crc32(_PLACE_OF_CRC, zlib.crc32(view[:start])))
    return b"%08x" % checksum


def _mark(key: str) -> bytes:
    """What comes before the checksum. No text within the header looks like it, as its quotes are escaped."""
    return f'"{key}":"'.encode()
