"""All lists by name: read at the start, kept over reloads, looked after in time.

At a start, before there is a reactor that runs, `load` waits for all. On a reload `prepare`
gives those that stay and those that are new, once they are read; `use` makes them the lists.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from twistproxy.lists import Source
from twistproxy.lists.compiler import Compiler
from twistproxy.lists.held import SUFFIXES, Held, Make, stem_of
from twistproxy.tables import table

_log = Logger()

#: Seconds between two looks at files.
LOOK: Final = 5.0
#: Seconds until a fetch that failed is tried again: the first time, and at most.
RETRY: Final = 30.0
RETRY_MAX: Final = 3600.0
#: Refreshes are this part of their time sooner or later, so that not all come at once.
JITTER: Final = 0.1

#: Has something done where it may wait; the Deferred fires in the reactor's thread.
Work = Callable[[Callable[[], None]], Deferred[None]]


class Lists:
    """folder: where they are kept, made if need be. wall: seconds of the epoch.

    make: in place of another process. work: in place of a thread. agent: who sends requests
    (IAgent), in place of Twisted's.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        wall: Callable[[], float],
        random: Random,
        make: Make | None = None,
        work: Work | None = None,
        agent: Any = None,
    ) -> None:
        self._reactor = reactor
        self._folder = folder
        self._wall = wall
        self._random = random
        self._compiler = Compiler()
        self._make: Make = make or self._compiler.make
        self._work: Work = work or self._in_thread
        self._agent = agent
        self._lists: dict[str, Held] = {}
        self._cares: dict[str, _Care] = {}
        self._one_by_one = DeferredLock()  # readers of lists: each takes a processor
        self._look = LoopingCall(self._look_at_files)
        self._look.clock = reactor

    # -- which there are --------------------------------------------------------------

    def load(self, sources: Mapping[str, Source]) -> dict[str, Held]:
        """Those of a start: files read and last good copies in force when it returns.

        Waits. Raises OSError where the folder can't be had.
        """
        if sources:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tidy(sources)
        found = {name: self._held(name, source) for name, source in sources.items()}
        for held in found.values():
            held.open(self._make)
            self._tell(held, first=True)
        return found

    def prepare(self, sources: Mapping[str, Source]) -> Deferred[dict[str, Held]]:
        """Those of a reload, for `use`. What didn't change is what there is; the rest is read
        first. Nothing that is in use changes. Fails with OSError, as `load`.
        """
        return ensureDeferred(self._prepare(sources))

    async def _prepare(self, sources: Mapping[str, Source]) -> dict[str, Held]:
        if sources:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = {}
        for name, source in sources.items():
            held = self._lists.get(name)
            if held is None or held.source != source:
                held = self._held(name, source)
                await self._alone(lambda held=held: held.open(self._make))  # type: ignore[misc]
                self._tell(held, first=True)
            found[name] = held
        return found

    def use(self, lists: Mapping[str, Held]) -> None:
        """These are the lists from now on: they are looked after, and no others are."""
        for name, care in list(self._cares.items()):
            if lists.get(name) is not care.held:
                del self._cares[name]
                care.stop()
        self._lists = dict(lists)
        for name, held in lists.items():
            if held.source.url is not None and name not in self._cares:
                self._cares[name] = care = _Care(held)
                self._plan(care, self._due(held))
        watched = any(held.source.file for held in lists.values())
        if watched and not self._look.running:
            self._look.start(LOOK, now=False).addErrback(_unexpected)
        elif not watched and self._look.running:
            self._look.stop()

    def stop(self) -> None:
        """Look after none of them any more, and end what is under way."""
        self.use({})
        self._compiler.close()

    # -- what an operator asks and wants ------------------------------------------------

    def snapshot(self) -> dict[str, dict[str, Any]]:
        return {name: held.snapshot() for name, held in self._lists.items()}

    def __repr__(self) -> str:
        rows = []
        for name, each in self.snapshot().items():
            state = each["kept_back"] and f"kept back: {each['kept_back']}"
            state = state or each["error"] or ("ok" if each["fetched"] else "not fetched yet")
            skipped = each["skipped"] + each["unreadable"]
            rows.append((name, each["format"], each["entries"], skipped, each["source"], state))
        if not rows:
            return "no lists"
        return table(("list", "format", "entries", "skipped", "from", "state"), rows)

    def force(self, name: str) -> str:
        """Have in force what was kept back; says what came of it. LookupError: no such list."""
        held = self._lists[name]
        if not held.force():
            return f"{name}: nothing is kept back"
        self._tell(held)
        return f"{name}: {held.snapshot()['entries']} entries"

    def refresh(self, name: str) -> Deferred[str]:
        """Fetch or read it now; fires with what came of it. LookupError: no such list."""
        held = self._lists[name]
        care = self._cares.get(name)
        done = self._read(held) if care is None else self._begin(care)

        def told(_: object) -> str:
            state = held.snapshot()
            why = state["error"] or (state["kept_back"] and f"kept back: {state['kept_back']}")
            return f"{name}: {why or state['entries']}{'' if why else ' entries'}"

        return done.addCallback(told)

    # -- in time ------------------------------------------------------------------------

    def _look_at_files(self) -> Deferred[None] | None:
        changed = [held for held in self._lists.values() if held.source.file and held.changed()]
        for held in self._lists.values():
            self._tell(held)
        return ensureDeferred(self._read_all(changed)) if changed else None

    async def _read_all(self, changed: list[Held]) -> None:
        for held in changed:
            await self._read(held)

    def _read(self, held: Held) -> Deferred[None]:
        return self._alone(lambda: held.renew(self._make)).addCallback(lambda _: self._tell(held))

    def _due(self, held: Held) -> float:
        """Seconds until it is to be fetched."""
        if held.at is None or held.source.refresh is None:
            return 0.0
        left = held.at + held.source.refresh - self._wall()
        return max(0.0, min(left, held.source.refresh))

    def _plan(self, care: _Care, seconds: float) -> None:
        around = self._random.uniform(1 - JITTER, 1 + JITTER)
        care.timer = self._reactor.callLater(seconds * around, self._begin, care)

    def _begin(self, care: _Care) -> Deferred[None]:
        if care.timer is not None and care.timer.active():
            care.timer.cancel()
        care.timer = None
        done: Deferred[None] = Deferred()
        if care.waiting is not None:  # it is being fetched already
            care.waiting.append(done)
            return done
        care.waiting = [done]
        ensureDeferred(self._fetch(care)).addErrback(_unexpected)
        return done

    async def _fetch(self, care: _Care) -> None:
        # Not at the top: Twisted's HTTP client takes a while to import, and is for lists only.
        from twistproxy.lists import fetch

        held = care.held
        if self._agent is None:
            self._agent = fetch.agent(self._reactor)
        notes = held.notes
        before = fetch.Fetched(notes.get("etag", ""), notes.get("modified", ""))
        assert held.source.url is not None
        try:
            care.under_way = fetch.fetch(
                self._reactor, self._agent, held.source.url, held.new_list, before
            )
            got = await care.under_way
        except fetch.NotFetched as error:
            held.error = str(error)
        else:
            if got is None:
                held.unchanged()
            elif not care.stopped:
                noted = {"etag": got.etag, "modified": got.modified}
                await self._alone(lambda: held.renew(self._make, held.new_list, **noted))
        finally:
            care.under_way = None
            waiting, care.waiting = care.waiting or [], None
        if not care.stopped:
            self._tell(held)
            care.failures = care.failures + 1 if held.error else 0
            if held.error:
                retry = min(RETRY * 2 ** min(care.failures - 1, 10), RETRY_MAX)
                self._plan(care, min(retry, held.source.refresh or retry))
            elif held.source.refresh is not None:
                self._plan(care, held.source.refresh)
        for done in waiting:
            done.callback(None)

    def _alone(self, what: Callable[[], None]) -> Deferred[None]:
        return self._one_by_one.run(self._work, what)

    def _in_thread(self, what: Callable[[], None]) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), what)

    def _held(self, name: str, source: Source) -> Held:
        return Held(name, source, self._folder, self._wall)

    def _tell(self, held: Held, first: bool = False) -> None:
        """Warn of what is wrong with it, once. first: also that there is nothing in it yet."""
        why = held.error
        if held.kept_back and not why:
            why = f"{held.kept_back}; kept back, what was before stays. If it is right, force it"
        elif first and not why and held.at is None:
            why = "it was never fetched; until it is, it is empty"
        if why and why != held.told:
            _log.warn("List {name}: {why}", name=held.name, why=why)
        held.told = why

    def _tidy(self, sources: Mapping[str, Source]) -> None:
        """Away with files of lists that there are no more."""
        ours = {f"{stem_of(name)}{suffix}" for name in sources for suffix in SUFFIXES}
        with suppress(OSError):
            for name in os.listdir(self._folder):
                if name.endswith(SUFFIXES) and name not in ours:
                    os.unlink(self._folder / name)


class _Care:
    """A list that is fetched. waiting: who wants to know of the fetch under way; None: none is."""

    def __init__(self, held: Held) -> None:
        self.held = held
        self.failures = 0
        self.stopped = False
        self.timer: IDelayedCall | None = None
        self.under_way: Deferred[Any] | None = None
        self.waiting: list[Deferred[None]] | None = None

    def stop(self) -> None:
        self.stopped = True
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        if self.under_way is not None:
            self.under_way.cancel()


def _unexpected(failure: Any) -> None:
    _log.failure("Lists are no longer looked after", failure)
