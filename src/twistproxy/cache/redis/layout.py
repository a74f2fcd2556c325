"""What a fleet's Redis holds: names, fields, the entries of its log, and scripts for them.

    PREFIXo:URL:KEY   a hash for each key, named by digests; for each variant three fields:
                      t… when it was put and what it can be purged by, h… the head, b… the body
    PREFIXlog         a stream: what was invalidated or purged, the last so many

All is sealed with a checksum, the body in its head. What is damaged, or not ours, is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from twistproxy.cache import record
from twistproxy.cache.purge import By, Purge, outdate
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS
from twistproxy.http.caching import Variant

#: Bytes of a body. A reply comes on one connection, after which others wait, and is copied in
#: the reactor's thread: a megabyte takes it a millisecond, and Redis, which has one thread, too.
LARGEST: Final = 1 << 20
#: Bytes of all variants of a key, which come in one reply.
LARGEST_KEY: Final = 4 << 20
# Bytes of t, and of h.
_LONGEST: Final = 1 << 16

#: An id in the log: milliseconds and a number. Each object says up to where its node had read.
Position = tuple[int, int]
START: Final[Position] = (0, 0)

# Digits at the head of t, by which Redis sorts.
_ORDER: Final = 16


class _Tag(msgspec.Struct, array_like=True, frozen=True, gc=False):
    position: Position
    url: str
    tags: tuple[str, ...]


class _Head(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """sum: of the body."""

    sum: int
    record: bytes


class _Begun(msgspec.Struct, array_like=True, frozen=True, tag="begun"):
    pass


class _Removed(msgspec.Struct, array_like=True, frozen=True, tag="removed"):
    who: bytes
    url: bytes
    query: bytes


class _Purged(msgspec.Struct, array_like=True, frozen=True, tag="purged"):
    by: By
    value: bytes
    soft: bool


_encode: Final = msgspec.msgpack.Encoder().encode
_decode_tag: Final = msgspec.msgpack.Decoder(_Tag).decode
_decode_head: Final = msgspec.msgpack.Decoder(_Head).decode
_decode_entry: Final = msgspec.msgpack.Decoder(_Begun | _Removed | _Purged).decode


def _seal(data: bytes) -> bytes:
    return crc32(data).to_bytes(4) + data


def _open(sealed: bytes) -> bytes:
    """Raises ValueError."""
    data = sealed[4:]
    if crc32(data).to_bytes(4) != sealed[:4]:
        raise ValueError("damaged")
    return data


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).hexdigest().encode()


def _bytes(text: str) -> bytes:
    """Of any text, even of what no URL can be."""
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    """Raises ValueError."""
    return data.decode("utf-8", "surrogatepass")


# -- names ---------------------------------------------------------------------------------------


def object_name(prefix: bytes, key: Key) -> bytes:
    # By URL first: so that one can be found whoever answers.
    return b"%bo:%b:%b" % (prefix, _digest(_bytes(key.url)), _digest(_encode([*map(_bytes, key)])))


def objects(prefix: bytes, url: str | None = None) -> bytes:
    """The pattern of their names, or of those of one URL."""
    return b"%bo:%b" % (prefix, b"*" if url is None else _digest(_bytes(url)) + b":*")


def variant_name(variant: Variant) -> bytes:
    return _digest(_encode(variant)) if variant else b"0"


# -- fields --------------------------------------------------------------------------------------


class Found(NamedTuple):
    """order: sorts by when it was put. position: up to where its node had read the log then."""

    order: bytes
    position: Position
    stored: Stored


def seal(stored: Stored, order: int, position: Position) -> tuple[bytes, bytes, bytes] | None:
    """Its t, h and b; None if it is too large, or not all in memory. order: microseconds."""
    body = stored.body
    if not isinstance(body, bytes) or len(body) > LARGEST:
        return None
    try:
        tag = _seal(_encode(_Tag(position, stored.key.url, stored.tags)))
        head = _seal(_encode(_Head(crc32(body), record.encode(stored))))
    except ValueError:  # text that is none
        return None
    if len(tag) > _LONGEST or len(head) > _LONGEST:
        return None
    return b"%016x" % order + tag, head, body


def unseal(reply: object, key: Key) -> Iterator[Found | None]:
    """The variants in a key's hash, as HGETALL gives it; None for what is damaged or not ours."""
    if not isinstance(reply, list) or len(reply) > 6 * VARIANTS:
        yield None
        return
    fields: dict[bytes, bytes] = dict(zip(reply[::2], reply[1::2], strict=True))
    for name, tag in fields.items():
        if name[:1] != b"t":
            continue
        variant = name[1:]
        try:
            position, _, _ = tagged(tag)
            body = fields.get(b"b" + variant, b"")
            read = _decode_head(_open(fields.get(b"h" + variant, b"")))
        except ValueError:  # msgspec's errors among them
            yield None
            continue
        stored = record.decode(read.record, body) if crc32(body) == read.sum else None
        if stored is None or stored.key != key or variant_name(stored.variant) != variant:
            yield None
        else:
            yield Found(tag[:_ORDER], position, stored)


def tagged(tag: bytes) -> tuple[Position, str, tuple[str, ...]]:
    """Position, URL and tags of a t. Raises ValueError."""
    read = _decode_tag(_open(tag[_ORDER:]))
    return read.position, read.url, read.tags


def outdated(head: bytes | None, now: float) -> bytes:
    """The h of the same, no longer fresh; b"" if it is damaged."""
    try:
        read = _decode_head(_open(head or b""))
    except ValueError:
        return b""
    stored = record.decode(read.record, b"")
    if stored is None:
        return b""
    outdate(stored, now)
    return _seal(_encode(_Head(read.sum, record.encode(stored))))


# -- the log -------------------------------------------------------------------------------------


def position_of(text: bytes) -> Position:
    milliseconds, _, number = text.partition(b"-")
    return int(milliseconds), int(number)


def position_text(position: Position) -> bytes:
    return b"%d-%d" % position


def entry(node: bytes, what: Key | Purge | None, name: bytes = b"") -> tuple[bytes, ...]:
    """The fields of an entry of a node.

    what: an invalidation, a purge; None: the log begins with this. name: the only object that is
    meant, if it is one.
    """
    said: _Begun | _Removed | _Purged = _Begun()
    if isinstance(what, Key):
        said = _Removed(*map(_bytes, what))
    elif what is not None:
        said = _Purged(what.by, _bytes(what.value), what.soft)
    return b"n", node, b"k", name, b"w", _encode(said)


def entry_of(fields: list[Any]) -> tuple[bytes, Key | Purge | None]:
    """Whose it is, and what it says. Raises ValueError for what can't be read."""
    try:
        node, said = fields[1], _decode_entry(fields[5])
    except (LookupError, TypeError):
        raise ValueError("not ours") from None
    if isinstance(said, _Begun):
        return node, None
    if isinstance(said, _Removed):
        return node, Key(_text(said.who), _text(said.url), _text(said.query))
    return node, Purge(said.by, _text(said.value), said.soft)


# -- scripts: what has to happen at once ----------------------------------------------------------

# KEYS: object, log. ARGV: variant ("": none is put), t, h, b, milliseconds to live, position, node,
# most variants, most bytes, and the variants that go.
PUT: Final = b"""
local object, variant = KEYS[1], ARGV[1]
for i = 10, #ARGV do
  redis.call('HDEL', object, 't'..ARGV[i], 'h'..ARGV[i], 'b'..ARGV[i])
end
if variant == '' then return 1 end
-- What the node has not heard of yet may have meant this.
local entries = redis.call('XRANGE', KEYS[2], ARGV[6], '+', 'COUNT', 101)
if #entries > 100 then return 0 end
for _, entry in ipairs(entries) do
  local said = entry[2]
  if entry[1] ~= ARGV[6] and said[2] ~= ARGV[7] and (said[4] == '' or said[4] == object) then
    return 0
  end
end
local left = redis.call('PTTL', object)
redis.call('HSET', object, 't'..variant, ARGV[2], 'h'..variant, ARGV[3], 'b'..variant, ARGV[4])
if left < tonumber(ARGV[5]) then redis.call('PEXPIRE', object, ARGV[5]) end
if redis.call('HLEN', object) == 3 then return 1 end
local size, all = 0, {}
for _, name in ipairs(redis.call('HKEYS', object)) do
  if string.sub(name, 1, 1) == 't' then
    all[#all + 1] = string.sub(redis.call('HGET', object, name), 1, 16)..string.sub(name, 2)
  else
    size = size + redis.call('HSTRLEN', object, name)
  end
end
table.sort(all)
local count = #all
for _, each in ipairs(all) do
  if count <= tonumber(ARGV[8]) and size <= tonumber(ARGV[9]) then break end
  local name = string.sub(each, 17)
  size = size - redis.call('HSTRLEN', object, 'h'..name) - redis.call('HSTRLEN', object, 'b'..name)
  count = count - 1
  redis.call('HDEL', object, 't'..name, 'h'..name, 'b'..name)
end
return 1
"""

# KEYS: object, log. ARGV: length of the log, the entry. How many variants there were.
REMOVE: Final = b"""
local count = 0
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(name, 1, 1) == 't' then count = count + 1 end
  end
end
redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
return count
"""

# KEYS: objects. ARGV: bytes. A list for each object, of the names of its variants and their t;
# for the first of them, if that is very much.
TAGS: Final = b"""
local all, size = {}, 0
for _, object in ipairs(KEYS) do
  local found = {}
  if redis.call('TYPE', object).ok == 'hash' then
    for _, name in ipairs(redis.call('HKEYS', object)) do
      if string.sub(name, 1, 1) == 't' then
        local tags = redis.call('HGET', object, name)
        found[#found + 1] = string.sub(name, 2)
        found[#found + 1] = tags
        size = size + #tags
      end
    end
  end
  all[#all + 1] = found
  if size > tonumber(ARGV[1]) then break end
end
return all
"""

# KEYS: objects. ARGV: a variant of each. Their h.
HEADS: Final = b"""
local all = {}
for i, object in ipairs(KEYS) do
  all[i] = redis.call('HGET', object, 'h'..ARGV[i])
end
return all
"""

# KEYS: objects. ARGV: for each a variant, its t as it was seen, a new h ("": it goes). For each
# 1 if that was done.
CHANGE: Final = b"""
local all = {}
for i, object in ipairs(KEYS) do
  local variant, seen, head = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  if redis.call('HGET', object, 't'..variant) ~= seen then
    all[i] = 0
  elseif head == '' then
    redis.call('HDEL', object, 't'..variant, 'h'..variant, 'b'..variant)
    all[i] = 1
  else
    redis.call('HSET', object, 'h'..variant, head)
    all[i] = 1
  end
end
return all
"""
