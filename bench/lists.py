"""What does a list of a million domains cost? ``python -m bench.lists [ENTRIES]``

Seconds until it is in force, the longest that the reactor was held meanwhile, what the process
grew by (at most: with the process that reads), and a look-up; beside it a plain set.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from attrs import frozen

from twistproxy.net import reactor as reactors

reactors.install()

from twisted.internet import reactor as _reactor  # noqa: E402
from twisted.internet.defer import ensureDeferred  # noqa: E402
from twisted.internet.task import LoopingCall  # noqa: E402

from twistproxy.lists.lists import Lists  # noqa: E402

reactor: Any = _reactor
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@frozen
class File:
    file: Path
    format: str = "domains"
    url: None = None
    refresh: None = None


def names(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    found = set()
    while len(found) < count:
        word = "".join(chance.choices(LETTERS, k=chance.randint(5, 14)))
        end = chance.choice([".com", ".net", ".org", ".co.uk"])
        found.add(chance.choice(["", "", "www.", "ads.de."]) + word + end)
    return sorted(found, key=lambda _: chance.random())


def resident(pid: int | str = "self") -> float:
    """MiB of a process, pages of mapped files among them; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int((status.partition("VmRSS:")[2].split() or "0")[0]) / 1024


def longest(what: Callable[[Any], object], asked: list[Any]) -> float:
    """Microseconds each; the best of several runs, as others use this machine too."""
    best = float("inf")
    for _ in range(9):
        before = time.perf_counter()
        for one in asked:
            what(one)
        best = min(best, (time.perf_counter() - before) / len(asked))
    return best * 1e6


async def measure(folder: Path, count: int) -> None:
    path = folder / "million.domains"
    path.write_text("\n".join(names(count, 1)) + "\n")
    lists = Lists(reactor, folder / "lists", time.time, random.Random())
    held_for = last = 0.0
    most = 0.0

    def beat() -> None:
        nonlocal held_for, last, most
        now = time.perf_counter()
        if last:
            held_for = max(held_for, now - last - 0.001)
        child = lists._compiler._child
        last, most = now, max(most, resident() + (resident(child.pid) if child else 0))

    heart = LoopingCall(beat)
    heart.start(0.001)
    before = resident()
    for what in ("read", "not read again"):
        held_for = last = most = 0.0
        began = time.perf_counter()
        found = await lists.prepare({"million": File(path)})
        took = time.perf_counter() - began
        lists.use(found)
        print(
            f"{what}: {took:.2f} s, the reactor held for {held_for * 1e3:.1f} ms at most,"
            f" grown by {resident() - before:.0f} MiB, at most {most - before:.0f} MiB"
        )
        path.write_text("\n".join(names(count, 2)) + "\n")
        held_for = last = most = 0.0
        began = time.perf_counter()
        await lists.refresh("million")
        print(
            f"refreshed: {time.perf_counter() - began:.2f} s,"
            f" held for {held_for * 1e3:.1f} ms at most,"
            f" grown by {resident() - before:.0f} MiB, at most {most - before:.0f} MiB"
        )
    heart.stop()
    held = found["million"]
    chance = random.Random(3)
    there = chance.sample(path.read_text().split(), min(count, 20_000))
    hosts = [chance.choice(["", "www.", "a.b."]) + n + chance.choice(["", "x"]) for n in there]
    asked: list[Any] = [SimpleNamespace(target=SimpleNamespace(host=host)) for host in hosts]
    print(f"a look-up: {longest(held.has, asked):.2f} us, of few hosts again and again: ", end="")
    print(f"{longest(held.has, asked[:100]):.2f} us")
    plain = {name.encode() for name in path.read_text().split()}

    def in_set(question: Any) -> bool:
        name = question.target.host.encode()
        while name:
            if name in plain:
                return True
            name = name.partition(b".")[2]
        return False

    assert all(held.has(one) == in_set(one) for one in asked)
    print(f"in a plain set: {longest(in_set, asked):.2f} us, {longest(in_set, asked[:100]):.2f} us")
    lists.stop()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:

        def run() -> None:
            done = ensureDeferred(measure(Path(folder), count))
            done.addErrback(lambda failure: failure.printTraceback())
            done.addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(run)
        reactor.run()


if __name__ == "__main__":
    main()
