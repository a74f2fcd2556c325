"""The command line's side of the admin socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from zope.interface import implementer

from twistproxy.admin import CommandFailed, ReloadFailed, client
from twistproxy.admin.api import Window
from twistproxy.admin.client import NoAnswer, ask


class FakeProxy:
    cache, policy, pools, parents, connections = "tablé", None, None, None, None

    def __init__(self, reloaded: Deferred[list[str]] | None = None) -> None:
        self.reloaded = reloaded or succeed(["generation 2"])

    def snapshot(self) -> dict[str, Any]:
        return {"cache": {"hits": 3}}

    def reload(self) -> Deferred[list[str]]:
        return self.reloaded


def answer(agent: IAgent, *words: str) -> Any:
    """What comes of it: a text or an exception."""
    results: list[Any] = []
    ensureDeferred(ask(agent, *words, patience=9)).addBoth(results.append)
    (result,) = results
    return result.value if isinstance(result, Failure) else result


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["stats"], "hits 3\n"),
        (["cache"], "'tablé'\n"),
        (["help", "stats"], "stats: one figure a line: NAME VALUE\n"),
        (["reload"], "generation 2\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_are_answered(words: list[str], text: str) -> None:
    assert answer(RequestTraversalAgent(Window(FakeProxy())), *words) == text


def test_errors_of_a_command_come_as_they_are() -> None:
    proxy = FakeProxy(fail(ReloadFailed("FILE:1: no\nFILE:2: no")))
    failed = answer(RequestTraversalAgent(Window(proxy)), "reload")
    assert isinstance(failed, CommandFailed)
    assert str(failed) == "FILE:1: no\nFILE:2: no"


@pytest.mark.parametrize("word", ["no such", "a/b", "..", "é?#"])
def test_words_are_quoted(word: str) -> None:
    failed = answer(RequestTraversalAgent(Window(FakeProxy())), word)
    assert isinstance(failed, CommandFailed)


class Nowhere(Resource):
    """Somebody else's server."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def getChild(self, path: bytes, request: object) -> Resource:
        return self

    def render_POST(self, request: Any) -> bytes:
        request.setResponseCode(404)
        return self.body


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", b"\xff"])
def test_somebody_else_answers(body: bytes) -> None:
    failed = answer(RequestTraversalAgent(Nowhere(body)), "stats")
    assert isinstance(failed, NoAnswer)
    assert str(failed) == "not an answer of twistproxy"


@implementer(IAgent)
class Failing:
    """An agent whose requests come to nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def request(self, *args: object, **named: object) -> Deferred[Any]:
        return fail(self.error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111), "Connection refused"),
        (TimeoutError(), "timeout"),
        (ResponseNeverReceived([]), "no answer"),
    ],
    ids=["refused", "late", "closed"],
)
def test_nobody_answers(error: Exception, text: str) -> None:
    failed = answer(Failing(error), "stats")
    assert isinstance(failed, NoAnswer)
    assert text.lower() in str(failed).lower()


def test_every_request_goes_to_the_socket(tmp_path: Path) -> None:
    reactor = MemoryReactorClock()
    asked = client.agent(reactor, tmp_path / "admin.sock").request(b"GET", b"http://localhost/x")
    asked.addErrback(lambda failure: None)
    assert [entry[0] for entry in reactor.unixClients] == [str(tmp_path / "admin.sock")]
    asked.cancel()


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="too long"):
        client.agent(MemoryReactorClock(), tmp_path / ("x" * 108))
