"""One connection to Redis: who we come as, what we believe of what comes back."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as Late
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from twistproxy.cache.redis.client import LONGEST_REPLY, RedisClient, RedisServer

Ends = list[tuple[str, bool]]


@pytest.fixture
def ends() -> Ends:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock, ends: Ends) -> RedisClient:
    client = RedisClient(clock, lambda _, why, closed: ends.append((why, closed)))
    client.makeConnection(StringTransport())
    return client


def result(deferred: Deferred[Any]) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results[0] if results else None


def test_replies_are_bytes_in_the_order_of_the_commands(client: RedisClient, clock: Clock) -> None:
    first, second = client.ask(1, "GET", "a"), client.ask(1, "HGETALL", b"b")
    assert client.waiting == 2
    client.dataReceived(b"$2\r\n12\r\n*2\r\n$1\r\nx\r\n$4\r\n3.14\r\n")
    clock.advance(0)
    for _ in range(5):
        clock.advance(0)
    assert (result(first), result(second)) == (b"12", [b"x", b"3.14"])
    assert client.waiting == 0


def test_a_late_reply_is_for_nobody_and_the_next_for_the_next(
    client: RedisClient, clock: Clock
) -> None:
    late, next_ = client.ask(0.05, "GET", "a"), client.ask(1, "DBSIZE")
    clock.advance(0.05)
    assert result(late).check(Late)
    assert client.waiting == 2
    client.dataReceived(b":1\r\n:2\r\n")
    assert result(next_) == 2


def test_what_is_owed_fails_when_the_connection_ends_after_that_was_told(
    client: RedisClient, ends: Ends
) -> None:
    told: list[Ends] = []
    client.ask(1, "PING").addErrback(lambda failure: told.append(list(ends)))
    client.connectionLost(Failure(ConnectionDone()))
    assert told == [[("the connection was closed", True)]]


def test_who_aborts_is_not_told(client: RedisClient, ends: Ends) -> None:
    client.abort()
    client.connectionLost(Failure(ConnectionDone()))
    assert ends == []
    assert client.transport.disconnecting


BAD = {
    "endless_bulk": [b"$999999999\r\n", b"x" * (LONGEST_REPLY + 1)],
    "endless_line": [b"+", b"x" * (LONGEST_REPLY + 1)],
    "endless_array": [b"*999999999\r\n", b"$1\r\nx\r\n" * (LONGEST_REPLY // 7 + 1)],
    "unasked": [b"+OK\r\n" * 2],
    "not_utf8": [b"\xff\xfe\xff\r\n" * 10],
}


@pytest.mark.parametrize("chunks", BAD.values(), ids=BAD)
def test_who_is_no_redis_is_left(client: RedisClient, ends: Ends, chunks: list[bytes]) -> None:
    client.ask(1, "PING").addErrback(lambda failure: None)
    for chunk in chunks:
        for start in range(0, len(chunk), 1 << 20):
            client.dataReceived(chunk[start : start + (1 << 20)])
    client.connectionLost(Failure(ConnectionDone()))
    assert len(ends) == 1


URLS = {
    "host": ("redis://example.org", "example.org:6379", [], 0),
    "port_and_number": ("redis://127.0.0.1:6380/3", "127.0.0.1:6380", [], 3),
    "secret": ("redis://:s%40crt@example.org/", "example.org:6379", ["s@crt"], 0),
    "user_and_secret": ("redis://us:s%2Fcrt@[::1]:1", "::1:1", ["us", "s/crt"], 0),
    "tls": ("rediss://us:secret@example.org/1", "example.org:6379", ["us", "secret"], 1),
    "unix": ("unix:///run/a%20b/redis.sock?db=2", "/run/a b/redis.sock", [], 2),
    "unix_and_secret": ("unix://us:secret@/run/redis.sock", "/run/redis.sock", ["us", "secret"], 0),
}


@pytest.mark.parametrize(("url", "where", "credentials", "number"), URLS.values(), ids=URLS)
def test_urls(url: str, where: str, credentials: list[str], number: int) -> None:
    server = RedisServer(Clock(), url)
    assert server.where == where
    assert (server._credentials, server._number) == (credentials, number)
    assert (server._tls is not None) == url.startswith("rediss:")
    for each in credentials:
        assert each not in repr(server)


def test_what_is_said_of_a_refused_secret_does_not_repeat_it(client: RedisClient) -> None:
    server = RedisServer(Clock(), "redis://us:secret@example.org")
    asked = Deferred.fromCoroutine(server._let_in(client))
    assert b"secret" in client.transport.value()
    client.dataReceived(b"-ERR unknown command 'AUTH', with args beginning with: 'us' 'secret'\r\n")
    failure = result(asked)
    assert isinstance(failure, Failure)
    assert failure.getErrorMessage() == "ERR AUTH was refused"
    assert "secret" not in failure.getTraceback()
