"""Fetch a list of URLs before anybody asks for them, so many at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure

#: Fetches at a time: enough to keep a server busy, too few to keep it from others.
AT_ONCE: Final = 8
#: URLs of one list.
URLS: Final = 1_000_000
#: Failures that are told one by one.
_TOLD: Final = 20


class Busy(Exception):
    """A list is being fetched already; its text says how far it is."""


@frozen(repr=False)
class Warmed:
    """How far a list has come. urls: in it. done: with an answer or without.
    statuses: how many answers had each. failed: how many have none; failures: the first of them,
    and why.
    """

    urls: int
    done: int
    statuses: dict[int, int]
    failed: int
    failures: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        statuses = "".join(f", {count} × {status}" for status, count in self.statuses.items())
        failed = f", {self.failed} without an answer" if self.failed else ""
        lines = [f"{self.done} of {self.urls} fetched{statuses}{failed}"]
        lines += [f"{url}: {why}" for url, why in self.failures]
        if self.failed > len(self.failures):
            lines.append("…")
        return "\n".join(lines)


class Warmer:
    """One list at a time.

    fetch: sends a request along the road and fires with the status of its answer, when all of
    that is there; may raise or fail, with a text that says why. later: as for `MemoryStore`.
    """

    def __init__(
        self,
        fetch: Callable[[str], Deferred[int]],
        later: Callable[[Callable[[], object]], Any],
    ) -> None:
        self.running = False
        self._fetch = fetch
        self._turns = Cooperator(lambda: lambda: True, later)
        self._urls = 0
        self._left: list[str] = []
        self._statuses: Counter[int] = Counter()
        self._failed = 0
        self._failures: list[tuple[str, str]] = []

    def warm(self, urls: Iterable[str]) -> Deferred[Warmed]:
        """Fetch them all, in this order. Never fails. Raises `Busy`, or ValueError for too many."""
        if self.running:
            raise Busy(repr(self.progress()))
        left = list(urls)
        if len(left) > URLS:
            raise ValueError(f"{len(left)} URLs are too many; {URLS} may be in a list")
        self._urls, self._left = len(left), left[::-1]
        self._statuses, self._failed, self._failures = Counter(), 0, []
        self.running = True
        work = self._work()
        return gatherResults([self._turns.coiterate(work) for _ in range(AT_ONCE)]).addBoth(
            self._over
        )

    def stop(self) -> None:
        """Begin no more fetches; those under way still end."""
        self._left.clear()

    def progress(self) -> Warmed:
        """Of the list that is being fetched, or of the last one."""
        done = self._statuses.total() + self._failed
        statuses = dict(sorted(self._statuses.items()))
        return Warmed(self._urls, done, statuses, self._failed, tuple(self._failures))

    def snapshot(self) -> dict[str, Any]:
        return {
            "running": self.running,
            "urls": self._urls,
            "done": self._statuses.total() + self._failed,
            "failed": self._failed,
        }

    def _work(self) -> Iterator[Deferred[None]]:
        while self._left:
            url = self._left.pop()
            yield maybeDeferred(self._fetch, url).addCallbacks(
                self._answered, self._not_answered, errbackArgs=(url,)
            )

    def _answered(self, status: int) -> None:
        self._statuses[status] += 1

    def _not_answered(self, failure: Failure, url: str) -> None:
        self._failed += 1
        if len(self._failures) < _TOLD:
            self._failures.append((url, failure.getErrorMessage()))

    def _over(self, _: object) -> Warmed:
        self.running = False
        return self.progress()


def urls_in(text: str) -> list[str]:
    """One a line; empty lines and those that begin with # are none."""
    lines = map(str.strip, text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
