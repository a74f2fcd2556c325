"""Ask a running proxy through its admin socket: what the command line does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.web.client import Agent, ResponseFailed
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from twistproxy.admin import CommandFailed

#: Seconds to connect.
CONNECT = 5.0

#: Bytes that a socket's path may have (unix(7)); Twisted doesn't survive more.
_PATH = 107


class NoAnswer(Exception):
    """Nobody answered as a proxy does; the text says what happened instead."""


@implementer(IAgentEndpointFactory)
@frozen
class _Socket:
    """Where every URL leads."""

    reactor: Any
    path: Path

    def endpointForURI(self, uri: object) -> UNIXClientEndpoint:
        return UNIXClientEndpoint(self.reactor, os.fspath(self.path), CONNECT)


def agent(reactor: Any, path: Path) -> IAgent:
    """Sends requests to whoever listens on the unix socket `path`. Raises `NoAnswer`."""
    if len(os.fsencode(path)) > _PATH:
        raise NoAnswer("the path is too long for a socket")
    found: IAgent = Agent.usingEndpointFactory(reactor, _Socket(reactor, path))
    return found


async def ask(agent: IAgent, *words: str, patience: float) -> str:
    """The answer to a command and its arguments. Raises `NoAnswer` or its `CommandFailed`.

    patience: seconds for the whole answer.
    """
    url = "http://localhost/commands/" + "/".join(quote(word, safe="") for word in words)
    try:
        response = await HTTPClient(agent).post(url, timeout=patience)
        if response.code == 200:
            return str(await response.text("utf-8"))
        problem = await response.json()
        detail = str(problem["detail"])
    except ConnectError as error:
        raise NoAnswer(os.strerror(error.osError) if error.osError else str(error)) from None
    except (ResponseFailed, CancelledError):
        raise NoAnswer("no answer") from None
    except (LookupError, TypeError, ValueError):
        raise NoAnswer("not an answer of twistproxy") from None
    raise CommandFailed(detail)
