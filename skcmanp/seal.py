"""A checksum within a safetensors file, by which damage is noticed wherever it is.

It is a CRC-32 of all bytes, its own place taken to be zeros. It tells damage,
not intent: whoever changes a file can compute it anew.
"""

from __future__ import annotations

import json
import zlib

_PLACE = "00000000"


def metadata_of(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises
    ------
    ValueError
        If there are none.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__", {})
    except (AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"they are not a safetensors file: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError("they are not a safetensors file: its metadata are no table")
    return metadata


def unsealed(text: str) -> str:
    """Metadata with a place for the checksum before it."""
    return _PLACE + text


def seal(data: bytes, key: str) -> bytes:
    """The file with its checksum, before the metadata of this key."""
    start = data.index(_mark(key)) + len(_mark(key))
    rest = memoryview(data)[start + len(_PLACE) :]
    return b"".join((data[:start], b"%08x" % zlib.crc32(data), rest))


def check_seal(data: bytes, key: str) -> str:
    """The metadata of this key, without the checksum.

    Raises
    ------
    ValueError
        If the bytes are not what they were when they were sealed.
    """
    start = data.find(_mark(key)) + len(_mark(key))
    if start < len(_mark(key)):
        raise ValueError(f"this version reads {key}, and these are {', '.join(metadata_of(data)) or 'no such file'}")
    end, view = start + len(_PLACE), memoryview(data)
    checksum = zlib.crc32(view[end:], zlib.crc32(_PLACE.encode(), zlib.crc32(view[:start])))
    if view[start:end] != b"%08x" % checksum:
        raise ValueError("their checksum is another than when they were written")
    return metadata_of(data)[key][len(_PLACE) :]


def _mark(key: str) -> bytes:
    """What comes before the checksum. No text within the header looks like it, as its quotes are escaped."""
    return f'"{key}":"'.encode()
