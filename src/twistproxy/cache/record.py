"""A stored response as bytes, for stores that outlive the process: all of it but the body."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from twistproxy.cache.stored import InFile, Key, Stored
from twistproxy.http.caching import Freshness, Variant

# `Freshness`, spelled out: of a compiled class msgspec would read that each None is a mistake.
_Freshness: TypeAlias = tuple[float, float, float, bool, bool, bool, float, float | None]

# What another version wrote is not read: it is fetched again.
_VERSION: Final = 1


class _Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    version: int
    key: Key
    variant: Variant
    status: int
    reason: bytes
    lines: bytes
    freshness: _Freshness
    made: float
    tags: tuple[str, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)


def encode(stored: Stored) -> bytes:
    """All of it but its body, in MessagePack."""
    return _encoder.encode(
        _Record(
            _VERSION,
            stored.key,
            stored.variant,
            stored.status,
            stored.reason,
            stored.lines,
            stored.freshness,
            stored.made,
            stored.tags,
        )
    )


def decode(data: bytes, body: bytes | InFile) -> Stored | None:
    """What `encode` was given, with this body; None if it is not of this version, or damaged."""
    try:
        record = _decoder.decode(data)
    except (msgspec.DecodeError, ValueError):
        return None
    if record.version != _VERSION:
        return None
    return Stored(
        record.key,
        record.variant,
        record.status,
        record.reason,
        record.lines,
        Freshness(*record.freshness),
        record.made,
        body,
        record.tags,
    )
