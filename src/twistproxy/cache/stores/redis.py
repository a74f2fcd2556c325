"""Objects and purges that a fleet shares, in one Redis.

What lies there is in `redis.layout`, the connection in `redis.client`.

Purges reach other nodes by a log, which all read as it grows. A node that was cut off goes on
reading where it was; if the log no longer reaches back so far, it forgets all it holds. Each
object says up to where its node had read, so that nothing comes in again, or out, by a node that
has not heard of a purge yet.

How many bytes Redis takes, and who leaves, is Redis' own affair: set its ``maxmemory`` and a
``maxmemory-policy`` such as allkeys-lfu. Objects expire when nobody could use them any more. Needs
Redis 5 or newer, and nodes whose clocks agree.
"""

from __future__ import annotations

import errno
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from os import urandom
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.cache.purge import Purge, outdate
from twistproxy.cache.redis import layout
from twistproxy.cache.redis.circuit import Circuit
from twistproxy.cache.redis.layout import START, Position
from twistproxy.cache.stored import Key, Stored
from twistproxy.cache.stores import VARIANTS, Answer
from twistproxy.http import conditional
from twistproxy.net.dial import Reason, Unreachable

if TYPE_CHECKING:
    from twistproxy.cache.redis.client import Ended, RedisClient

#: Commands that may be unanswered, and the bytes of objects among them.
WAITING: Final = 1000
SENDING: Final = 16 << 20
#: Seconds for all that no request waits for.
PATIENCE: Final = 5.0
#: Seconds between two signs of life.
BEAT: Final = 1.0
_BEATS: Final = 10  # between two looks at Redis' own figures

#: Entries of the log, about; a hundred bytes each. The last stays for ever: by finding it there a
#: node knows that it missed nothing.
LOG: Final = 10_000
#: Invalidations, and purges, that wait for Redis to come back; over that everything goes.
OWED: Final = 10_000
OWED_PURGES: Final = 1000
#: Purges of other nodes that are looked at with what comes out of Redis, and for how many seconds:
#: until the node that purges has gone through all of it, with much to spare.
_BANS: Final = 1000
_BAN: Final = 600.0

#: Seconds that something stale is kept for its validator, which saves fetching the body again.
CONFIRMABLE: Final = 86400.0
#: Seconds that anything is kept.
LONGEST: Final = 30 * 86400.0

# Keys, or log entries, in one command: what keeps Redis busy for a few milliseconds.
_SLICE: Final = 250
_AT_ONCE: Final = 100
# Purges for which all of Redis is gone through at once.
_TOGETHER: Final = 50

EVERYTHING: Final = Purge("prefix", "")


def _read_until(position: str) -> Position | None:
    try:
        return layout.position_of(position.encode()) if position else None
    except ValueError:
        return START  # before everything


def _order(found: layout.Found) -> bytes:
    return found.order


def _begins(entry: list[Any]) -> bool:
    """Whether an entry is the first of a log."""
    try:
        return layout.entry_of(entry[1])[1] is None
    except ValueError:
        return False


def _nobody_there(error: BaseException) -> bool:
    """Whether it says that nobody at all can reach Redis."""
    if isinstance(error, Unreachable):
        return error.reason is Reason.REFUSED
    if isinstance(error, ConnectError):
        return error.osError in (errno.ECONNREFUSED, errno.ENOENT)
    return str(error).startswith("LOADING")


# -- the store --


class Server(Protocol):
    """`RedisServer`, which imports the reactor."""

    where: str

    async def connect(self, ended: Ended) -> RedisClient: ...


@define(eq=False)
class _Line:
    """Two connections: one is asked, the other waits for what the log has next."""

    asked: RedisClient
    listening: RedisClient

    def abort(self) -> None:
        self.asked.abort()
        self.listening.abort()


@define(eq=False)
class _Job:
    """A purge that Redis doesn't know of yet, or has not been gone through for.

    now: of the purge. announced: whether the other nodes are told, or need not be. since: where
    that stands in the log, None if it doesn't (yet): what was put later isn't meant.
    """

    purge: Purge
    now: float
    announced: bool = False
    since: Position | None = None
    count: int = 0
    done: Deferred[int] = Factory(Deferred)

    def end(self) -> None:
        _tell(self.count, self.done)


class _Meant(NamedTuple):
    """By a purge: a variant, with its t as it was seen."""

    job: _Job
    name: bytes
    variant: bytes
    tag: bytes


def _tell(count: int, done: Deferred[int]) -> None:
    if not done.called:
        done.callback(count)


class RedisStore:
    """A `Store` in a Redis that may be slow, frozen or gone, from `start` to `close`.

    timeout: seconds that `get` takes at most. grace: seconds that something stale may be used.
    on_purge, on_remove: what to do on this node when another one purges or invalidates; what is
    under way here counts as older than that. on_settled: called once, when what others said so far
    was heard, or Redis could not be reached. position: that of an earlier process whose objects
    this node still holds, on disk; "" if it holds none. prefix: of all names in Redis, without
    characters that mean something in its patterns.
    """

    def __init__(
        self,
        clock: IReactorTime,
        server: Server,
        timeout: float,
        *,
        on_purge: Callable[[Purge], object],
        on_remove: Callable[[Key], object],
        on_settled: Callable[[], object] = lambda: None,
        grace: float = 3600.0,
        prefix: str = "twistproxy:",
        position: str = "",
    ) -> None:
        self.timeout = timeout
        self.grace = grace
        self._clock = clock
        self._server = server
        self._log = Logger()
        self._on_purge = on_purge
        self._on_remove = on_remove
        self._on_settled = on_settled
        self.settled = False
        self._prefix = prefix.encode()
        self._stream = self._prefix + b"log"
        self._node = urandom(8).hex().encode()
        self._circuit: Circuit[_Line] = Circuit(clock, self._connect_soon, self._changed)
        self._position = _read_until(position)
        # Whether Redis was there for all that others may have told it, or nobody could tell it.
        self._sure = False
        self._order = 0  # microseconds: when the last was put
        self._sending = 0
        self._owed: OrderedDict[Key, object] = OrderedDict()
        self._jobs: deque[_Job] = deque()
        self._working = False
        # Purges of others, for which Redis may not be gone through yet: where they stand in the
        # log, and until when they are looked at.
        self._bans: OrderedDict[Purge, tuple[Position, float]] = OrderedDict()
        self._figures = (0, 0, 0)
        self._count = dict.fromkeys(
            (
                "hits",
                "misses",
                "timeouts",
                "errors",
                "dropped",
                "outdated",
                "damaged",
                "bytes_read",
                "bytes_written",
            ),
            0,
        )

    def start(self) -> None:
        self._circuit.start()

    @property
    def position(self) -> str:
        """What to give to the next process that finds on disk what this one leaves there."""
        return "" if self._position is None else layout.position_text(self._position).decode()

    # -- the promises of a store --

    def get(self, key: Key) -> Answer[tuple[Stored, ...]]:
        line = self._circuit.line
        if line is None:
            return ()
        if line.asked.waiting >= WAITING:
            self._count["dropped"] += 1
            return ()
        found = line.asked.ask(self.timeout, "HGETALL", layout.object_name(self._prefix, key))
        return found.addCallbacks(self._got, self._not_got, callbackArgs=(key,))

    def put(self, stored: Stored, instead_of: Iterable[Stored] = ()) -> bool:
        line = self._circuit.line
        gone = {layout.variant_name(old.variant) for old in instead_of}
        sealed = self._sealed(stored)
        if sealed is None:
            gone.add(layout.variant_name(stored.variant))
        size = 0 if sealed is None else sum(map(len, sealed[:4]))
        if (
            line is None
            or line.asked.waiting >= WAITING
            or (self._sending and self._sending + size > SENDING)
        ):
            self._count["dropped"] += 1
            return False
        name, *values = sealed or (b"", b"", b"", b"", 0)
        words = [name, *values, self._reached, self._node, VARIANTS, layout.LARGEST_KEY, *gone]
        names = [layout.object_name(self._prefix, stored.key), self._stream]
        self._sending += size
        done = line.asked.run(layout.PUT, names, words)
        done.addBoth(self._was_put, size)
        return sealed is not None

    def remove(self, key: Key) -> Answer[int]:
        ticket = object()
        self._owed[key] = ticket
        self._owed.move_to_end(key)
        if len(self._owed) > OWED:
            self._give_up()
            return 0
        line = self._circuit.line
        if line is None:
            return 0
        done: Deferred[int] = Deferred()
        sent = self._send_removal(line, key, ticket)
        sent.addCallback(_tell, done)
        return done.addTimeout(self.timeout, self._clock, lambda *_: 0)

    def purge(self, purge: Purge, now: float) -> Deferred[int]:
        job = _Job(purge, now)
        self._jobs.append(job)
        if len(self._jobs) > OWED_PURGES:
            self._give_up()
        line = self._circuit.line
        if line is None:
            return succeed(0)  # it waits for Redis to come back
        done: Deferred[int] = job.done
        self._work(line)
        return done

    def clear(self) -> Deferred[int]:
        return self.purge(EVERYTHING, self._clock.seconds())

    def snapshot(self) -> dict[str, Any]:
        """objects, bytes, limit: keys of its database, bytes and ``maxmemory`` of that Redis, with
        what else lies there; asked for every few seconds. outdated: puts that it refused since a
        purge came between. owed: invalidations and purges that wait for it.
        """
        objects, size, limit = self._figures
        line = self._circuit.line
        return {
            "state": self._circuit.state,
            "error": self._circuit.error,
            "server": self._server.where,
            "objects": objects,
            "bytes": size,
            "limit": limit,
            **self._count,
            "waiting": 0 if line is None else line.asked.waiting,
            "sending": self._sending,
            "owed": len(self._owed) + len(self._jobs),
        }

    def close(self) -> Deferred[None]:
        """What was sent arrives, if Redis takes it in time."""
        line = self._circuit.line
        if line is None:
            self._closed(None)
            return succeed(None)
        # Answers come in the order of the commands.
        last = line.asked.ask(max(self.timeout, BEAT), "PING")
        return last.addBoth(self._closed)

    def _closed(self, result: object) -> None:
        self._circuit.stop()
        for job in self._jobs:
            job.end()

    def __repr__(self) -> str:
        return f"<RedisStore {self._server.where}: {self._circuit.state}>"

    # -- objects --

    @property
    def _reached(self) -> bytes:
        return layout.position_text(self._position or START)

    def _sealed(self, stored: Stored) -> tuple[bytes, bytes, bytes, bytes, int] | None:
        """Its name, its fields, the milliseconds to live; None if it is not for Redis."""
        now, until = self._clock.seconds(), self._until(stored)
        order = max(int(now * 1e6), self._order + 1)
        fields = layout.seal(stored, order, self._position or START)
        if fields is None or until <= now:
            return None
        self._order = order
        return layout.variant_name(stored.variant), *fields, int((until - now) * 1000)

    def _until(self, stored: Stored) -> float:
        """When it is of no more use to anybody."""
        fresh = stored.freshness
        window = max(self.grace, fresh.stale_while_revalidate, fresh.stale_if_error or 0)
        if conditional.conditions(stored.fields):
            window = max(window, CONFIRMABLE)
        left = max(0.0, fresh.lifetime - fresh.initial_age)
        return fresh.received + min(left + window, LONGEST)

    def _was_put(self, result: object, size: int) -> None:
        self._sending -= size
        if isinstance(result, Failure):
            self._count["errors"] += 1
            self._circuit.error = result.getErrorMessage()
        elif result == 1:
            self._count["bytes_written"] += size
        else:
            self._count["outdated"] += 1

    def _got(self, reply: object, key: Key) -> tuple[Stored, ...]:
        self._circuit.answered()
        found = []
        for each in layout.unseal(reply, key):
            if each is None:
                self._count["damaged"] += 1
            elif self._is_left(each):
                found.append(each)
        found.sort(key=_order, reverse=True)
        self._count["hits" if found else "misses"] += 1
        stored = tuple([each.stored for each in found])
        self._count["bytes_read"] += sum([each.length for each in stored])
        return stored

    def _is_left(self, found: layout.Found) -> bool:
        """Whether the purges leave it that have not come to it yet; they may make it stale."""
        url, tags = found.stored.key.url, found.stored.tags
        bans = ((purge, since) for purge, (since, _) in self._bans.items())
        for purge, since in chain(bans, ((job.purge, job.since) for job in self._jobs)):
            if (since is None or found.position < since) and purge.matches(url, tags):
                if not purge.soft:
                    return False
                outdate(found.stored, self._clock.seconds())
        return True

    def _not_got(self, failure: Failure) -> tuple[Stored, ...]:
        if failure.check(TimeoutError):
            self._count["timeouts"] += 1
            self._circuit.failed(f"no answer within {self.timeout:g} s")
        elif not failure.check(CancelledError):
            self._count["errors"] += 1
            self._circuit.error = failure.getErrorMessage()
        return ()

    # -- invalidation and purges, here --

    def _send_removal(self, line: _Line, key: Key, ticket: object) -> Deferred[int]:
        name = layout.object_name(self._prefix, key)
        words = [LOG, *layout.entry(self._node, key, name)]
        sent: Deferred[int] = line.asked.run(layout.REMOVE, [name, self._stream], words)
        return sent.addCallbacks(
            self._removed, self._not_removed, callbackArgs=(key, ticket), errbackArgs=(line,)
        )

    def _removed(self, count: int, key: Key, ticket: object) -> int:
        if self._owed.get(key) is ticket:  # else it was removed again meanwhile
            del self._owed[key]
        return count

    def _not_removed(self, failure: Failure, line: _Line) -> int:
        self._count["errors"] += 1
        self._circuit.error = failure.getErrorMessage()
        if line is self._circuit.line:  # it is tried again with the next one
            self._circuit.open(f"an invalidation failed: {failure.getErrorMessage()}")
        return 0

    def _give_up(self) -> None:
        """Too much for Redis to be told: everything goes."""
        for job in self._jobs:
            job.end()
        self._owed.clear()
        self._jobs = deque([_Job(EVERYTHING, self._clock.seconds())])

    def _work(self, line: _Line) -> None:
        """Go through Redis for the purges that are due, unless that is being done."""
        if not self._working and self._jobs:
            self._working = True
            Deferred.fromCoroutine(self._go_through(line)).addBoth(self._worked, line)

    def _worked(self, result: object, line: _Line) -> None:
        self._working = False
        if isinstance(result, Failure):
            self._circuit.error = result.getErrorMessage()
            for job in self._jobs:
                job.end()  # as far as it went; the rest when Redis is back
            if line is self._circuit.line:
                self._circuit.open(f"a purge failed: {result.getErrorMessage()}")
        if self._circuit.line is not None:
            self._work(self._circuit.line)  # some came meanwhile

    async def _go_through(self, line: _Line) -> None:
        # What is meant by several is counted for the first; those that leave nothing come first.
        jobs = sorted(islice(self._jobs, _TOGETHER), key=lambda job: job.purge.soft)
        for job in jobs:
            if not job.announced:
                job.since = await self._say(line, job.purge)
                job.announced = True
        one = jobs[0].purge if len(jobs) == 1 else None
        url = one.value if one is not None and one.by == "url" else None
        pattern = layout.objects(self._prefix, url)
        cursor: object = b"0"
        while True:
            words = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SLICE)
            cursor, names = await self._ask(line, *words)
            while names:
                names = names[await self._sift(line, names, jobs) :]
            if cursor in (b"0", "0", 0):
                break
        for job in jobs:
            if job in self._jobs:  # else too much came meanwhile
                self._jobs.remove(job)
            job.end()

    async def _sift(self, line: _Line, names: list[bytes], jobs: list[_Job]) -> int:
        """Do to the objects of those names what the purges say: of how many names."""
        variants = await self._run(line, layout.TAGS, names, [layout.LARGEST])
        everything = next((job for job in jobs if job.purge == EVERYTHING), None)
        if everything is not None:
            names = names[: len(variants)]
            await self._ask(line, "DEL", *names)
            everything.count += sum(len(found) // 2 for found in variants)
            return len(names)
        meant: list[_Meant] = []
        for name, found in zip(names, variants, strict=False):
            for variant, tag in zip(found[::2], found[1::2], strict=True):
                try:
                    _, url, tags = layout.tagged(tag)
                except ValueError:
                    continue  # nobody is ever given it
                for job in jobs:
                    if job.purge.matches(url, tags):
                        meant.append(_Meant(job, name, variant, tag))
                        break
        for start in range(0, len(meant), _AT_ONCE):
            await self._change(line, meant[start : start + _AT_ONCE])
        return len(variants)

    async def _change(self, line: _Line, meant: list[_Meant]) -> None:
        names = [each.name for each in meant]
        heads: list[bytes | None] = [None] * len(meant)
        if any(each.job.purge.soft for each in meant):
            heads = await self._run(line, layout.HEADS, names, [each.variant for each in meant])
        words: list[bytes] = []
        for each, head in zip(meant, heads, strict=True):
            soft = each.job.purge.soft
            words += each.variant, each.tag, layout.outdated(head, each.job.now) if soft else b""
        done = await self._run(line, layout.CHANGE, names, words)
        for each, count in zip(meant, done, strict=True):
            each.job.count += count

    # -- the log, and what others say --

    async def _say(self, line: _Line, what: Purge | None) -> Position:
        words = ("MAXLEN", "~", LOG, "*", *layout.entry(self._node, what))
        return layout.position_of(await self._ask(line, "XADD", self._stream, *words))

    def _hear(self, position: Position, fields: list[bytes]) -> None:
        try:
            node, said = layout.entry_of(fields)
        except ValueError:
            node, said = b"", EVERYTHING  # of another version perhaps: it may have meant anything
        if node != self._node:
            if isinstance(said, Key):
                self._on_remove(said)
            elif said is not None:
                self._purged(said, position)
        self._position = position

    def _purged(self, purge: Purge, position: Position) -> None:
        now = self._clock.seconds()
        self._bans[purge] = position, now + _BAN
        self._bans.move_to_end(purge)
        while len(self._bans) > _BANS or next(iter(self._bans.values()))[1] <= now:
            self._bans.popitem(last=False)
        self._on_purge(purge)

    async def _listen(self, line: _Line) -> None:
        beats = 0
        while line is self._circuit.line:
            if beats % _BEATS == 0:
                await self._look(line)
            beats += 1
            await self._read_on(line, "BLOCK", int(BEAT * 1000))

    async def _read_on(self, line: _Line, *block: object) -> bool:
        """Hear what the log has next; whether there was something."""
        words = ("COUNT", _SLICE, *block, "STREAMS", self._stream, self._reached)
        reply = await line.listening.ask(BEAT + PATIENCE, "XREAD", *words)
        for _, entries in reply or ():
            for position, fields in entries:
                self._hear(layout.position_of(position), fields)
        return bool(reply)

    async def _look(self, line: _Line) -> None:
        try:
            objects = await line.listening.ask(PATIENCE, "DBSIZE")
            memory = await line.listening.ask(PATIENCE, "INFO", "memory")
            rows = dict(row.partition(b":")[::2] for row in memory.split(b"\r\n"))
            self._figures = objects, int(rows[b"used_memory"]), int(rows[b"maxmemory"])
        except TimeoutError:
            raise
        except Exception:  # perhaps we aren't allowed to; if it is gone, the next command tells
            self._figures = 0, 0, 0

    # -- the connection --

    def _connect_soon(self) -> Deferred[_Line]:
        return Deferred.fromCoroutine(self._connect())

    async def _connect(self) -> _Line:
        clients: list[RedisClient] = []
        over: list[str] = []

        def ended(client: RedisClient, why: str, closed: bool) -> None:
            line = self._circuit.line
            if line is not None and client in (line.asked, line.listening):
                self._circuit.open(why)
                self._sure = closed
            else:
                over.append(why)

        try:
            clients.append(await self._server.connect(ended))
            clients.append(await self._server.connect(ended))
            line = _Line(*clients)
            # Who answers too late now would do so then.
            await line.asked.ask(self.timeout, "PING")
            await self._catch_up(line)
            await self._pay(line)
            if over:
                raise ConnectionError(over[0])
        except BaseException as error:
            self._sure = self._sure and _nobody_there(error)
            for client in clients:
                client.abort()
            self._settle()
            raise
        return line

    async def _catch_up(self, line: _Line) -> None:
        """Hear what was said while this node was cut off; forget all it holds if that isn't known.

        The last entry that it read is in the log unless so much was said since then, or Redis has
        lost what it had (it began anew, or with an older copy). If it was there for us when it
        ended, nobody can have told it anything in between that it has not told us; but it may have
        again what was purged.
        """
        newest = await self._ask(line, "XREVRANGE", self._stream, "+", "-", "COUNT", 1)
        last = layout.position_of(newest[0][0]) if newest else await self._say(line, None)
        held = self._position
        if held is not None:
            at = layout.position_text(held)
            if not await self._ask(line, "XRANGE", self._stream, at, at):
                first = await self._ask(line, "XRANGE", self._stream, "-", "+", "COUNT", 1)
                # Whoever can't say what it has heard knows nothing about what Redis had.
                set_back = held != START and (
                    _begins(first[0]) or layout.position_of(first[0][0]) < held
                )
                if set_back and not any(job.purge == EVERYTHING for job in self._jobs):
                    self._jobs.append(_Job(EVERYTHING, self._clock.seconds(), announced=True))
                if set_back and self._sure:
                    self._position = START
                else:
                    self._log.warn("Purges were missed: this node forgets what it holds")
                    self._on_purge(EVERYTHING)
                    self._position = None
        if self._position is None:
            self._position = last
        while await self._read_on(line):
            pass

    async def _pay(self, line: _Line) -> None:
        """Tell what was removed meanwhile; what was purged is told when the circuit is closed."""
        while self._owed:
            some = list(self._owed.items())[:_AT_ONCE]
            sent = gatherResults(
                [self._send_removal(line, key, ticket) for key, ticket in some], consumeErrors=True
            )
            await sent.addTimeout(PATIENCE, self._clock)
            if any(self._owed.get(key) is ticket for key, ticket in some):
                raise ConnectionError(self._circuit.error)

    def _changed(self, why: str | None) -> None:
        line = self._circuit.line
        if line is None:
            self._sure = False
            self._log.warn(
                "Redis at {server} is left alone: {why}", server=self._server.where, why=why
            )
            return
        self._sure = True
        self._log.info("Redis at {server} answers", server=self._server.where)
        self._settle()
        self._work(line)
        Deferred.fromCoroutine(self._listen(line)).addErrback(self._deaf, line)

    def _settle(self) -> None:
        if not self.settled:
            self.settled = True
            self._on_settled()

    def _deaf(self, failure: Failure, line: _Line) -> None:
        if line is self._circuit.line:
            self._circuit.open(f"no sign of life: {failure.getErrorMessage()}")

    def _ask(self, line: _Line, *words: object) -> Deferred[Any]:
        return line.asked.ask(PATIENCE, *words)

    def _run(
        self, line: _Line, script: bytes, keys: list[bytes], words: Sequence[object]
    ) -> Deferred[Any]:
        return line.asked.run(script, keys, words).addTimeout(PATIENCE, self._clock)
