"""Question: who stays when memory is full, and what does a full memory take of the process?

``python -m bench.traces`` prints hit ratios, by requests and by bytes, of our store and of others,
on traces of a million requests; then what real processes grow by, which fill the cache with such
traces. Everybody has the same room: a tenth of what all objects of the trace take together, heads
included.

Beside our store: plain LRU; LFU and W-TinyLFU where cachetools and theine are installed; and the
best that anybody could do who knew what comes.
"""

from __future__ import annotations

import ctypes
import gc
import heapq
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

import click

from bench.machine import CHECKOUT, Invalid
from twistproxy.cache.cache import Cache, Hit
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores.memory import MemoryStore
from twistproxy.config import model
from twistproxy.config.model import Size
from twistproxy.http.caching import Freshness
from twistproxy.http.dates import format_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.tables import table
from twistproxy.wire.http1 import encode

NOW = 1_700_000_000.0
#: Requests of a trace, and the objects that it is of; there is room for one in so many.
REQUESTS, OBJECTS, ROOM = 1_000_000, 100_000, 10
#: Bytes of a body where all are alike.
BODY = 1000
#: Bytes of a process, which glibc would give back only if they were at the end of its heap
#: (etc/twistproxy.service has the same).
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "131072"}

Chance = random.Random

# -- traces ---------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """What is asked for, as numbers, and how many bytes each body has."""

    asked: array[int]
    length: Callable[[int], int]


def zipf(exponent: float, requests: int, objects: int, chance: Chance) -> array[int]:
    """The n-th object in favour is asked for as often as 1 / n ** exponent says."""
    weights = list(accumulate(1 / n**exponent for n in range(1, objects + 1)))
    names = list(range(objects))
    chance.shuffle(names)
    return array("L", chance.choices(names, cum_weights=weights, k=requests))


def alike(_: int) -> int:
    return BODY


def scan(requests: int, objects: int, chance: Chance) -> Trace:
    """Zipf 1.0, and between its tenths a crawler that asks for five memories full, each object
    once: every other request is its."""
    asked, once = array("L"), objects
    wanted = zipf(1.0, requests // 2, objects, chance)
    part = len(wanted) // 10
    for start in range(0, len(wanted), part):
        asked.extend(wanted[start : start + part])
        asked.extend(range(once, once + part))
        once += part
    return Trace(asked, alike)


def twice(requests: int, objects: int, chance: Chance) -> Trace:
    """Zipf 1.0; every third request begins, or ends, a short visit to an object that is asked for
    twice and never again."""
    asked, once, pending = array("L"), objects, list[tuple[int, int]]()
    for at, name in enumerate(zipf(1.0, requests, objects, chance)):
        if len(asked) >= requests:
            break
        while pending and pending[0][0] <= at:
            asked.append(heapq.heappop(pending)[1])
        if chance.random() < 0.2:
            heapq.heappush(pending, (at + chance.randrange(1, 200), once))
            asked.append(once)
            once += 1
        else:
            asked.append(name)
    return Trace(asked, alike)


def moving(requests: int, objects: int, chance: Chance) -> Trace:
    """Zipf 1.0; twenty times a tenth of the objects, drawn by lot, change places."""
    weights = list(accumulate(1 / n for n in range(1, objects + 1)))
    names, asked = list(range(objects)), array("L")
    chance.shuffle(names)
    for _ in range(20):
        asked.extend(chance.choices(names, cum_weights=weights, k=requests // 20))
        places = chance.sample(range(objects), objects // 10)
        dealt = chance.sample([names[place] for place in places], len(places))
        for place, name in zip(places, dealt, strict=True):
            names[place] = name
    return Trace(asked, alike)


def mixed(requests: int, objects: int, chance: Chance) -> Trace:
    """Zipf 1.0 over bodies of log-normal length: median 4 KB, mean 17 KB, at most 1 MiB."""
    lengths = array(
        "L", (min(int(chance.lognormvariate(8.3, 1.7)), 1 << 20) for _ in range(objects))
    )
    return Trace(zipf(1.0, requests, objects, chance), lengths.__getitem__)


TRACES: dict[str, Callable[[int, int, Chance], Trace]] = {
    "Zipf 0.8": lambda *how: Trace(zipf(0.8, *how), alike),
    "Zipf 1.0": lambda *how: Trace(zipf(1.0, *how), alike),
    "Zipf 1.2": lambda *how: Trace(zipf(1.2, *how), alike),
    "scan": scan,
    "twice": twice,
    "moving": moving,
    "mixed": mixed,
    "loop": lambda requests, objects, _: Trace(
        array("L", (n % (2 * objects // ROOM) for n in range(requests))), alike
    ),
}

# -- policies -------------------------------------------------------------------------------------


class Policy(Protocol):
    def ask(self, name: int, size: int) -> bool:
        """Whether it is there; from now on it may be."""


class Ours:
    """Our store, with objects as the cache makes them but for their heads."""

    def __init__(self, room: int) -> None:
        self._store = MemoryStore(room)
        self._bodies: dict[int, bytes] = {}

    def ask(self, name: int, size: int) -> bool:
        key = key_of(name)
        found = self._store.get(key)
        if found:
            found[0].uses += 1
            return True
        body = self._bodies.get(size)
        if body is None:
            body = self._bodies[size] = bytes(size - HEAD)
        self._store.put(bare(key, body))
        return False


class Lru:
    """What was asked for longest ago leaves."""

    def __init__(self, room: int) -> None:
        self._left = room
        self._sizes: OrderedDict[int, int] = OrderedDict()

    def ask(self, name: int, size: int) -> bool:
        if name in self._sizes:
            self._sizes.move_to_end(name)
            return True
        self._sizes[name] = size
        self._left -= size
        while self._left < 0:
            self._left += self._sizes.popitem(last=False)[1]
        return False


class Lfu:
    """What was asked for least leaves (cachetools)."""

    def __init__(self, room: int) -> None:
        from cachetools import LFUCache

        self._cache: Any = LFUCache(room, getsizeof=lambda size: size)

    def ask(self, name: int, size: int) -> bool:
        if self._cache.get(name) is not None:
            return True
        self._cache[name] = size
        return False


class TinyLfu:
    """W-TinyLFU (theine), which counts objects: only where all are alike."""

    def __init__(self, room: int) -> None:
        from theine import Cache as Theine

        self._cache: Any = Theine(room // (HEAD + BODY))

    def ask(self, name: int, size: int) -> bool:
        if self._cache.get(name)[1]:
            return True
        self._cache.set(name, True)
        return False


class Best:
    """What is asked for next latest leaves, or doesn't come in (Belady), of objects that are alike.

    asked: all that will be.
    """

    def __init__(self, room: int, asked: array[int]) -> None:
        self._room = room // (HEAD + BODY)
        self._next = array("L", bytes(asked.itemsize * len(asked)))
        last: dict[int, int] = {}
        for at in range(len(asked) - 1, -1, -1):
            self._next[at] = last.get(asked[at], sys.maxsize)
            last[asked[at]] = at
        self._at = 0
        self._held: dict[int, int] = {}
        self._latest: list[tuple[int, int]] = []

    def ask(self, name: int, size: int) -> bool:
        found = name in self._held
        again = self._next[self._at]
        self._at += 1
        self._held[name] = again
        heapq.heappush(self._latest, (-again, name))
        while len(self._held) > self._room:
            again, name = heapq.heappop(self._latest)
            if self._held.get(name) == -again:
                del self._held[name]
        return found


def key_of(name: int) -> Key:
    return Key("open", f"http://a.example/{name:07}")


def bare(key: Key, body: bytes) -> Stored:
    return Stored(key, (), 200, b"OK", b"", Freshness(60, 0, 0), 0, body)


HEAD = bare(key_of(0), b"").size

# -- hit ratios -----------------------------------------------------------------------------------


def ratios(trace: Trace, policy: Policy) -> tuple[float, float]:
    """Hits in percent: of all requests, and of all bytes."""
    hits = got = everything = 0
    length, ask = trace.length, policy.ask
    for name in trace.asked:
        body = length(name)
        everything += body
        if ask(name, HEAD + body):
            hits += 1
            got += body
    return 100 * hits / len(trace.asked), 100 * got / everything


def room_of(trace: Trace, objects: int) -> int:
    return sum(HEAD + trace.length(name) for name in range(objects)) // ROOM


def compared(name: str, requests: int, objects: int) -> Iterator[list[object]]:
    """A row of each policy."""
    trace = TRACES[name](requests, objects, Chance(1))
    room = room_of(trace, objects)
    policies: dict[str, Callable[[int], Policy]] = {"LRU": Lru, "twistproxy": Ours, "LFU": Lfu}
    if trace.length is alike:
        policies |= {"W-TinyLFU": TinyLfu, "the best": lambda room: Best(room, trace.asked)}
    lru = None
    for who, make in policies.items():
        try:
            policy = make(room)
        except ImportError:
            continue
        by_requests, by_bytes = ratios(trace, policy)
        lru = by_requests if lru is None else lru
        yield [who, f"{by_requests:.1f}", f"{by_requests - lru:.1f}", f"{by_bytes:.1f}"]


# -- what a full cache takes ----------------------------------------------------------------------


class _Mallinfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def taken() -> dict[str, int]:
    """Bytes of this process: resident, and where they are."""
    status = open("/proc/self/status").read()  # noqa: SIM115
    with tempfile.TemporaryFile() as told:
        saved = os.dup(2)
        os.dup2(told.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(saved, 2)
        os.close(saved)
        told.seek(0)
        stats = told.read().decode()
    arenas = re.search(r"arenas \* \d+ bytes/arena\s*= +([\d,]+)", stats)
    blocks = re.search(r"# bytes in allocated blocks\s*= +([\d,]+)", stats)
    resident = re.search(r"RssAnon:\s+(\d+)", status)
    assert arenas is not None
    assert blocks is not None
    assert resident is not None
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    malloc = mallinfo()
    small = int(arenas[1].replace(",", ""))
    used = int(blocks[1].replace(",", ""))
    return {
        "resident": 1024 * int(resident[1]),
        "small": used,
        "small free": small - used,
        "large": malloc.uordblks + malloc.hblkhd,
        "large free": malloc.fordblks,
    }


def fill(asked: array[int], lengths: array[int]) -> dict[str, float]:
    """Bytes that this process has grown by, with a cache of real objects in it.

    asked: the trace. lengths: of the bodies of all objects.
    """
    lines = [
        (b"Date", format_date(NOW)),
        (b"Server", b"nginx/1.26.0"),
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Last-Modified", format_date(NOW - 86400)),
        (b"ETag", b'"5f3c9a2e-3e8"'),
        (b"Cache-Control", b"public, max-age=86400"),
        (b"Vary", b"Accept-Encoding"),
    ]
    request = Request(b"GET", b"/", Fields([(b"Accept-Encoding", b"gzip")]))
    one = Cache(MemoryStore(1 << 30), model.Cache())
    _store(one, key_of(0), request, lines, 0)
    head = one.snapshot()["bytes"]
    limit = (head * len(lengths) + sum(lengths)) // ROOM
    cache = Cache(MemoryStore(limit), model.Cache(memory=Size(limit), max_object=Size(limit)))
    del one
    most = 0
    gc.collect()
    gc.freeze()
    gc.disable()
    before = taken()
    for at, name in enumerate(asked):
        key = key_of(name)
        found = cache.lookup(key, request, NOW)
        if isinstance(found, Hit):  # as the road does
            found.head(b"any", NOW, partial(encode.response_lines, method=b"GET"))
        else:
            _store(cache, key, request, lines, lengths[name])
        if at % 10_000 == 0:
            most = max(most, taken()["resident"] - before["resident"])
            if cache.snapshot()["bytes"] > limit:
                raise Invalid("more than its bound")
    grown = {each: count - before[each] for each, count in taken().items()}
    figures = cache.snapshot()
    return {
        "limit": limit,
        "counted": figures["bytes"],
        "objects": figures["objects"],
        "most": max(most, grown["resident"]),
        **grown,
    }


def _store(
    cache: Cache, key: Key, request: Request, lines: list[tuple[bytes, bytes]], length: int
) -> None:
    writer = cache.store(key, request, Response(200, Fields(lines), b"OK"), NOW, NOW, length)
    if writer is not None:
        # As it comes off the wire: each piece is its own bytes.
        for start in range(0, length, 65536):
            writer.write(b"x" * min(length - start, 65536))
        writer.finish()


def filled(name: str, requests: int, objects: int) -> dict[str, float]:
    """The same, in a process of its own, which has nothing but the trace before."""
    trace = TRACES[name](requests, objects, Chance(1))
    lengths = array("L", map(trace.length, range(objects)))
    done = subprocess.run(
        [sys.executable, "-m", "bench.traces", "--fill", str(objects)],
        input=lengths.tobytes() + trace.asked.tobytes(),
        cwd=CHECKOUT,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def filled_row(name: str, figures: dict[str, float]) -> list[object]:
    def of_limit(each: str) -> str:
        return f"{100 * figures[each] / figures['limit']:.1f}"

    def mb(each: str) -> str:
        return f"{figures[each] / 1e6:.1f}"

    shares = [of_limit(each) for each in ("counted", "resident", "most")]
    places = [mb(each) for each in ("small", "small free", "large", "large free")]
    return [name, figures["objects"], mb("limit"), *shares, *places]


FILLED = ["", "objects", "limit MB", "counted %", "grown %", "at most %"]
FILLED += ["small MB", "free", "large MB", "free"]


@click.command()
@click.option("--requests", default=REQUESTS, show_default=True, help="Of each trace.")
@click.option("--objects", default=OBJECTS, show_default=True, help="That it is of.")
@click.option("--traces", default=",".join(TRACES), help="Their names, with commas between.")
@click.option("--fill", "fill_with", type=int, hidden=True)
def main(requests: int, objects: int, traces: str, fill_with: int | None) -> None:
    """Hit ratios of the memory store beside others', and the growth of a process that fills it."""
    if fill_with:
        lengths, asked = array("L"), array("L")
        lengths.frombytes(sys.stdin.buffer.read(lengths.itemsize * fill_with))
        asked.frombytes(sys.stdin.buffer.read())
        click.echo(json.dumps(fill(asked, lengths)))
        return
    for name in traces.split(","):
        click.echo(f"{name}\n")
        rows = list(compared(name, requests, objects))
        click.echo(table(["", "hits %", "to LRU", "bytes %"], rows) + "\n")
    rows = [filled_row(name, filled(name, requests, objects)) for name in ("Zipf 1.0", "mixed")]
    click.echo(table(FILLED, rows))


if __name__ == "__main__":
    main(prog_name="python -m bench.traces")
