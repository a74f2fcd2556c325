"""Who stays: thousands of connections in one loop, idle, slow, or asking at a given pace."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar, cast

import uvloop

from bench.load import Ask, Load, summary
from bench.machine import Invalid

T = TypeVar("T")

#: Connections that are opened at a time.
AT_A_TIME = 100
#: Seconds between two looks at which requests are due.
BEAT = 0.002


class Kept(asyncio.Protocol):
    """One connection that is kept, and asked on again and again."""

    def __init__(self, ask: Ask) -> None:
        self._request = ask.request()
        self._size = ask.size
        self._unread = bytearray()
        self._answered: Callable[[float], object] | None = None
        self._due = 0.0
        self.lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By what it can do; uvloop's are no subclasses.
        self.transport = cast(asyncio.WriteTransport, transport)

    def ask(
        self, due: float, answered: Callable[[float], object], request: bytes | None = None
    ) -> bool:
        """Send the request, or this one; `answered` gets the seconds since `due`.

        False: it still waits for an answer.
        """
        if self._answered is not None:
            return False
        self._due, self._answered = due, answered
        self.transport.write(request or self._request)
        return True

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head = self._unread.find(b"\r\n\r\n") + 4
        if head < 4 or len(self._unread) < head + self._size:
            return
        good = self._unread.startswith(b"HTTP/1.1 200 ")
        if not good or len(self._unread) > head + self._size:
            self.lost = Invalid(f"a wrong answer: {bytes(self._unread[:200])!r}")
            self.transport.abort()
            return
        self._unread.clear()
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(time.monotonic() - self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.lost or exc or Invalid("a connection was closed")


def run(work: Coroutine[Any, Any, T]) -> T:
    """`work` on a uvloop loop. Raises Invalid where a connection failed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(work)
        except OSError as error:
            raise Invalid(f"a connection failed: {error!r}") from error


async def opened(ask: Ask, count: int) -> list[Kept]:
    """That many connections, each of which has had one answer."""
    loop = asyncio.get_running_loop()
    context = ask.context
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one() -> Kept:
        async with turn:
            _, kept = await loop.create_connection(
                lambda: Kept(ask), "127.0.0.1", ask.port, ssl=context
            )
            answered: asyncio.Future[float] = loop.create_future()
            kept.ask(time.monotonic(), answered.set_result)
            await asyncio.wait_for(answered, 30)
            return kept

    try:
        return await asyncio.gather(*[one() for _ in range(count)])
    except TimeoutError as error:
        raise Invalid("a connection was not answered in 30 s") from error


def check(crowd: list[Kept]) -> None:
    for kept in crowd:
        if kept.lost:
            raise Invalid(f"a connection was lost: {kept.lost!r}")


async def idle(ask: Ask, count: int, weigh: Callable[[], float]) -> float:
    """What `weigh` says more, for each of so many connections that were used once."""
    before = weigh()
    crowd = await opened(ask, count)
    await asyncio.sleep(1)
    check(crowd)
    after = weigh()
    for kept in crowd:
        kept.transport.abort()
    return (after - before) / count


async def paced(ask: Ask, count: int, rate: float, seconds: float) -> Load:
    """So many connections take turns to ask, `rate` times a second.

    Times are from when a request was due, so what had to wait for its turn counts as slow.
    """
    crowd = await opened(ask, count)
    times: list[float] = []
    begun = time.monotonic()
    due = asked = 0
    while (now := time.monotonic() - begun) < seconds:
        due = int(now * rate)
        while asked < due:
            kept = crowd[asked % count]
            if not kept.ask(begun + asked / rate, times.append):
                raise Invalid("a connection waited for its answer a whole turn")
            asked += 1
        await asyncio.sleep(BEAT)
    end = time.monotonic() + 10
    while len(times) < asked and time.monotonic() < end:
        await asyncio.sleep(BEAT)
    check(crowd)
    if len(times) < asked:
        raise Invalid(f"{asked - len(times)} of {asked} requests were not answered")
    for kept in crowd:
        kept.transport.abort()
    return summary(times, seconds)


async def at_once(ask: Ask, count: int, seconds: float) -> tuple[Load, int]:
    """So many ask for the same thing at once, something new each round; and how many rounds."""
    crowd = await opened(ask, count)
    begun = time.monotonic()
    times: list[float] = []
    rounds = 0
    while (now := time.monotonic()) < begun + seconds:
        rounds += 1
        request = replace(ask, target=f"{ask.target}?{begun}-{rounds}").request()
        for kept in crowd:
            kept.ask(now, times.append, request)
        while len(times) < rounds * count:
            check(crowd)
            if time.monotonic() > now + 10:
                raise Invalid("a request was not answered within 10 s")
            await asyncio.sleep(0)
    for kept in crowd:
        kept.transport.abort()
    return summary(times, time.monotonic() - begun), rounds


async def _slow_sender(ask: Ask) -> None:
    """A head that never ends, a byte a second."""
    _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    for byte in ask.request(f"X-Slow: {'a' * 1000}"):
        writer.write(bytes([byte]))
        await asyncio.sleep(1)


async def _slow_reader(ask: Ask) -> None:
    """A large answer, a byte a second."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", ask.port))
        await loop.sock_sendall(sock, ask.request())
        while await loop.sock_recv(sock, 1):
            await asyncio.sleep(1)


async def beside_slow(small: Ask, large: Ask, count: int, settle: float, seconds: float) -> Load:
    """One client asks as fast as it is answered; beside it half of `count` send, half read slowly.

    It begins after `settle` seconds, when the kernel's buffers are full of what nobody reads.
    """
    tasks = [asyncio.create_task(_slow_sender(small)) for _ in range(count // 2)]
    tasks += [asyncio.create_task(_slow_reader(large)) for _ in range(count // 2)]
    await asyncio.sleep(settle)
    [kept] = await opened(small, 1)
    loop = asyncio.get_running_loop()
    times: list[float] = []
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + seconds:
        answered: asyncio.Future[float] = loop.create_future()
        kept.ask(now, answered.set_result)
        try:
            times.append(await asyncio.wait_for(answered, 10))
        except TimeoutError as error:
            raise Invalid(f"no answer within 10 s, {kept.lost!r}") from error
    alive = sum(not task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    kept.transport.abort()
    if alive < len(tasks):
        raise Invalid(f"only {alive} of {len(tasks)} slow connections were left at the end")
    return summary(times, time.monotonic() - begun)
