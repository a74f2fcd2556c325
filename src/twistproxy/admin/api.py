"""The web side of the windows: probes, the snapshot, the commands.

``GET /livez`` ``/readyz`` · ``GET /snapshot`` · ``GET /commands`` · ``GET|POST /commands/NAME/ARG``
(those that change something: POST). The unix socket STATE_DIR/admin.sock, which only its owner can
open, serves everything. ``admin.listen`` serves the probes to everybody and the rest to who brings
the token, and only by a name that no web page can have (DNS rebinding).
Errors are ``application/problem+json`` (RFC 9457).
"""

# twisted.web has few annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hmac
import json
import os
import socket
import stat
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from twistproxy.admin import CommandFailed, Proxy, WindowError
from twistproxy.admin.commands import COMMANDS, run
from twistproxy.admin.console import printable
from twistproxy.config import model
from twistproxy.http.errors import Problem
from twistproxy.http.uri import host_port
from twistproxy.net.listen import listen

log = Logger()

#: Connections at a time, and the seconds that one may be idle.
CONNECTIONS = 100
IDLE = 60


class Api:
    """Both listeners, from `start` and `open_socket` to `stop`."""

    def __init__(
        self, reactor: IReactorTime, proxy: Proxy, settings: model.Admin | None, state_dir: Path
    ) -> None:
        self._reactor = reactor
        self._proxy = proxy
        self._settings = settings or model.Admin()
        self._socket = state_dir / "admin.sock"
        self._ports: list[IListeningPort] = []

    async def start(self) -> IListeningPort | None:
        """Make way for the unix socket, and listen on TCP; gives that listener, if it is to be.

        Raises `WindowError` (the unix socket) or `net.listen.ListenFailed`.
        """
        _make_way(self._socket)
        if self._settings.listen is None:
            return None
        token = Token(self._settings.token_file)
        return await self._listen(self._settings.listen, Window(self._proxy, token))

    async def open_socket(self) -> None:
        """Listen on the unix socket. Comes last of all: its file would outlive a start that fails.

        Raises `net.listen.ListenFailed`.
        """
        await self._listen(
            f"unix:address={quoteStringArgument(str(self._socket))}:mode=600:lockfile=0",
            Window(self._proxy),
        )

    async def stop(self) -> None:
        """Listen no more; the socket's file goes too."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    async def _listen(self, description: str, window: Window) -> IListeningPort:
        port = await listen(self._reactor, description, site(self._reactor, window))
        self._ports.append(port)
        return port


def site(reactor: IReactorTime, window: Window) -> WrappingFactory:
    """A factory for connections to `window`, so many at a time."""
    return Bounded(AdminSite(window, requestFactory=_Request, timeout=IDLE, reactor=reactor))


def _make_way(path: Path) -> None:
    """Remove what a process that is gone has left. Raises `WindowError` if one lives there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise WindowError(f"{path}: it is in the way of the admin socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            probe.connect(os.fspath(path))
        raise WindowError(f"{path}: another twistproxy runs with this state_dir")
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WindowError(f"{error.filename or path}: {error.strerror or error}") from None


@define
class Token:
    """What opens the TCP listener: a file's text, read again whenever it is asked for."""

    path: Path | None
    _complained: bool = field(init=False, default=False)

    def read(self) -> bytes:
        """b"" if there is none: then nothing opens it."""
        if self.path is None:
            return b""
        try:
            token = self.path.read_bytes().strip()
        except OSError as error:
            token, why = b"", error.strerror
        else:
            why = "it is empty"
        if not token and not self._complained:
            log.warn("admin.token_file: {path}: {why}", path=self.path, why=why)
        self._complained = not token
        return token


@frozen
class Answer:
    """What goes back. fields: of the head, besides those that every answer has."""

    status: HTTPStatus
    kind: str
    body: bytes
    fields: dict[str, str] = field(factory=dict)


def text(body: str) -> Answer:
    return Answer(HTTPStatus.OK, "text/plain; charset=utf-8", printable(f"{body}\n").encode())


def data(body: object) -> Answer:
    return Answer(HTTPStatus.OK, "application/json", json.dumps(body, default=str).encode())


def problem(status: HTTPStatus, detail: str, **fields: str) -> Answer:
    body = {"title": status.phrase, "status": status.value, "detail": detail}
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Answer(status, "application/problem+json", json.dumps(body).encode(), named)


NOT_FOUND = problem(
    HTTPStatus.NOT_FOUND, "There is /livez /readyz /snapshot /commands /commands/NAME."
)
BAD_HOST = problem(
    HTTPStatus.MISDIRECTED_REQUEST,
    "Ask by localhost or the address that is listened on; other names could be a web page's.",
)
NO_TOKEN = problem(
    HTTPStatus.FORBIDDEN,
    "Only the probes are served here; the rest on the unix socket, or with admin.token_file.",
)
WRONG_TOKEN = problem(
    HTTPStatus.UNAUTHORIZED, "The token is missing or wrong.", WWW_Authenticate="Bearer"
)
ONLY_POST = problem(HTTPStatus.METHOD_NOT_ALLOWED, "It changes something.", Allow="POST")
ONLY_GET = problem(HTTPStatus.METHOD_NOT_ALLOWED, "It can only be looked at.", Allow="GET, HEAD")
FAILED = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "It failed; the log says how.")


class Window(Resource):
    """All paths. token: None where everything is open to whoever can connect."""

    isLeaf = True

    def __init__(self, proxy: Proxy, token: Token | None = None) -> None:
        super().__init__()
        self._proxy = proxy
        self._token = token

    def render(self, request: Request) -> Any:
        """What twisted.web calls: gives the body, or NOT_DONE_YET."""
        path = [unquote(part) for part in request.path.decode("latin-1").split("/")[1:]]
        answer = self._refusal(request, path) or self._answer(request.method, path)
        if isinstance(answer, Answer):
            return _begin(request, answer)
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def finish(answer: Answer) -> None:
            if not gone:
                request.write(_begin(request, answer))
                request.finish()

        answer.addCallback(finish)
        return NOT_DONE_YET

    def _refusal(self, request: Request, path: list[str]) -> Answer | None:
        """Why this can't be asked here."""
        if self._token is None:
            return None
        if not _may_be_called(request):
            return BAD_HOST
        if path in (["livez"], ["readyz"]):
            return None
        token = self._token.read()
        if not token:
            return NO_TOKEN
        scheme, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), token):
            return WRONG_TOKEN
        return None

    def _answer(self, method: bytes, path: list[str]) -> Answer | Deferred[Answer]:
        looks = method in (b"GET", b"HEAD")
        match path:
            case ["commands", name, *arguments]:
                command = COMMANDS.get(name)
                if command is None:
                    return problem(HTTPStatus.NOT_FOUND, f"There are: {', '.join(COMMANDS)}.")
                if method != b"POST" and (command.changes or not looks):
                    return ONLY_POST
                return maybeDeferred(run, self._proxy, [name, *arguments]).addCallbacks(
                    text, _failed
                )
            case ["commands"] if looks:
                return data(
                    [
                        {"usage": c.usage, "help": c.help, "changes": c.changes}
                        for c in COMMANDS.values()
                    ]
                )
            case ["snapshot"] if looks:
                return data(self._proxy.snapshot())
            case ["livez"] if looks:
                return text("ok")
            case ["readyz"] if looks:
                state = self._proxy.snapshot()["state"]
                ready = state == "ready"
                return text(state) if ready else problem(HTTPStatus.SERVICE_UNAVAILABLE, state)
            case ["commands" | "snapshot" | "livez" | "readyz"]:
                return ONLY_GET
        return NOT_FOUND


def _failed(failure: Failure) -> Answer:
    if failure.check(CommandFailed):
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(failure.value))
    log.failure("a command asked through the API failed", failure)
    return FAILED


def _begin(request: Request, answer: Answer) -> bytes:
    """Set the head; gives the body."""
    head = request.responseHeaders
    head.removeHeader(b"server")
    request.setResponseCode(answer.status.value, answer.status.phrase.encode())
    fields = {
        "Content-Type": answer.kind,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": str(len(answer.body)),
        **answer.fields,
    }
    for name, value in fields.items():
        head.setRawHeaders(name, [value])
    return b"" if request.method == b"HEAD" else answer.body


def _may_be_called(request: Request) -> bool:
    """Whether Host is localhost, or an address: loopback, or the one that was connected to.

    A page whose name was made to resolve to us (DNS rebinding) still says its own name.
    """
    values = request.requestHeaders.getRawHeaders(b"host", [])
    place = host_port(values[0]) if len(values) == 1 else None
    if place is None or isinstance(place, Problem):
        return False
    host = place[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or host == getattr(request.getHost(), "host", None)


class _Request(Request):
    """A request whose body is of no use: whatever comes is dropped, however much."""

    def handleContentChunk(self, data: bytes) -> None: ...


class AdminSite(Site):
    noisy = False

    def log(self, request: Any) -> None:
        """Probes come every second; nobody wants them in the log."""


class Bounded(WrappingFactory):
    """Takes `CONNECTIONS` at a time."""

    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        return super().buildProtocol(addr) if len(self.protocols) < CONNECTIONS else None
