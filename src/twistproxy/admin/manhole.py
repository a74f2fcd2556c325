"""The SSH console's door: a listener, public keys, and connections that carry sessions.

Any user name will do, the key decides. No passwords, forwarding, agent, files or subsystems.
``session`` is what goes on inside. To try it: ``ssh -p 2222 HOST stats``.
"""

# Conch has next to no annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.conch.avatar import ConchUser
from twisted.conch.error import ValidPublicKey
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import (
    MSG_CHANNEL_OPEN_FAILURE,
    OPEN_ADMINISTRATIVELY_PROHIBITED,
    SSHConnection,
)
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import (
    DISCONNECT_BY_APPLICATION,
    DISCONNECT_TOO_MANY_CONNECTIONS,
    SSHServerTransport,
)
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.admin import Proxy, WindowError
from twistproxy.admin.keys import AuthorizedKeys, host_key, read_host_key
from twistproxy.admin.session import Session, quiet
from twistproxy.config import model
from twistproxy.config.errors import Fault
from twistproxy.net.listen import listen

log = Logger()

#: Logged-in connections at a time, and as many that are still strangers.
SESSIONS = 16
#: Channels of one connection.
CHANNELS = 10
#: Seconds to log in; keys that may be tried meanwhile.
LOGIN = 30.0
ATTEMPTS = 10


class Manhole:
    """The SSH console of a proxy, from `start` to `stop`."""

    def __init__(
        self, reactor: IReactorTime, proxy: Proxy, settings: model.Manhole, state_dir: Path
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._host_key = _host_key_of(settings, state_dir)
        self._keys = AuthorizedKeys(settings.authorized_keys)
        self._proxy = proxy
        self._factory: ManholeFactory | None = None
        self._port: IListeningPort | None = None

    @property
    def sessions(self) -> int:
        """How many are logged in."""
        return len(self._factory.sessions) if self._factory else 0

    async def start(self) -> IListeningPort:
        """Listen. Raises `WindowError` (the host key) or `net.listen.ListenFailed`."""
        self._keys.entries()  # so that the log says at once if nobody can log in
        self._factory = ManholeFactory(
            self._reactor, self._proxy, host_key(self._host_key), self._keys
        )
        self._port = await listen(self._reactor, self._settings.listen, self._factory)
        return self._port

    def notice(self, text: str) -> None:
        """Show it to everybody who sits at a terminal."""
        if self._factory is not None:
            self._factory.notice(text)

    async def stop(self) -> None:
        """Listen no more, and send everybody away."""
        if self._factory is not None:
            self._factory.disconnect()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
            self._port = None


def faults(settings: model.Manhole, state_dir: Path) -> Iterator[Fault]:
    """What would keep it from starting. Looks only: a host key that isn't there is made then."""
    try:
        read_host_key(_host_key_of(settings, state_dir))
    except WindowError as error:
        yield Fault(("manhole", "host_key"), str(error))


def _host_key_of(settings: model.Manhole, state_dir: Path) -> Path:
    return settings.host_key or state_dir / "ssh_host_key"


class ManholeFactory(SSHFactory):
    """Builds the server side of connections and keeps account of them."""

    _log = quiet
    noisy = False

    def __init__(
        self, reactor: IReactorTime, proxy: Proxy, host_key: Key, keys: AuthorizedKeys
    ) -> None:
        self.reactor = reactor
        self.proxy = proxy
        self.portal = Portal(_Realm(), [_Checker(keys)])
        self.publicKeys = {host_key.sshType(): host_key.public()}
        self.privateKeys = {host_key.sshType(): host_key}
        self.protocol = Transport
        self.services = {b"ssh-userauth": _Login, b"ssh-connection": _Connection}
        self.strangers: set[Transport] = set()
        self.sessions: set[Transport] = set()

    def getPrimes(self) -> None:
        """No groups of our own: curves and fixed groups are enough."""

    def buildProtocol(self, addr: Any) -> Any:
        if len(self.strangers) >= SESSIONS:
            log.warn("manhole: {addr} refused: {n} others are logging in", addr=addr, n=SESSIONS)
            return None
        return super().buildProtocol(addr)

    def notice(self, text: str) -> None:
        for transport in self.sessions:
            for channel in [*transport.service.channels.values()]:
                channel.notice(text)

    def disconnect(self) -> None:
        for transport in [*self.strangers, *self.sessions]:
            transport.sendDisconnect(DISCONNECT_BY_APPLICATION, b"twistproxy stops")


class Transport(SSHServerTransport):
    """One connection: a stranger for `LOGIN` seconds at most."""

    _log = quiet
    factory: Any
    transport: Any
    avatar: Any
    service: Any
    _too_late: IDelayedCall | None = None

    @property
    def peer(self) -> str:
        peer = self.transport.getPeer()
        return str(getattr(peer, "host", peer))

    def connectionMade(self) -> None:
        self.factory.strangers.add(self)
        self._too_late = self.factory.reactor.callLater(LOGIN, self._give_up)
        # A client that vanishes must not keep its place for ever.
        keep_alive = getattr(self.transport, "setTcpKeepAlive", None)
        if keep_alive is not None:
            keep_alive(True)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except Exception as error:  # Conch's parsers raise on what they can't read
            log.warn(
                "manhole: {peer}: not understood, disconnected: {error!r}",
                peer=self.peer,
                error=error,
            )
            self.transport.abortConnection()

    def ssh_DISCONNECT(self, packet: bytes) -> None:
        """The client has ended (to Conch that is an error, always)."""
        self.transport.loseConnection()

    def logged_in(self) -> None:
        self._no_stranger()
        if len(self.factory.sessions) >= SESSIONS:
            self.sendDisconnect(DISCONNECT_TOO_MANY_CONNECTIONS, b"too many are logged in")
            return
        self.factory.sessions.add(self)
        log.info("manhole: {peer} logged in with {key}", peer=self.peer, key=self.avatar.key)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._no_stranger()
        self.factory.sessions.discard(self)
        super().connectionLost(reason)

    def _no_stranger(self) -> None:
        self.factory.strangers.discard(self)
        if self._too_late is not None and self._too_late.active():
            self._too_late.cancel()

    def _give_up(self) -> None:
        log.info("manhole: {peer} did not log in in time", peer=self.peer)
        self.transport.abortConnection()


class _Login(SSHUserAuthServer):
    """Public keys only; the log says who was refused."""

    _log = quiet
    transport: Any
    attemptsBeforeDisconnect = ATTEMPTS

    def serviceStarted(self) -> None:
        self.clock = self.transport.factory.reactor
        super().serviceStarted()

    def auth_publickey(self, packet: bytes) -> Deferred[Any]:
        return super().auth_publickey(packet).addErrback(self._refused)

    def _refused(self, failure: Failure) -> Failure:
        failure.trap(UnauthorizedLogin)
        log.warn(
            "manhole: {user!r} from {peer} refused: {why}",
            user=(self.user or b"").decode("utf-8", "replace"),
            peer=self.transport.peer,
            why=failure.getErrorMessage(),
        )
        return failure


@implementer(ICredentialsChecker)
@frozen
class _Checker:
    """Whoever has one of the keys is let in, whatever the user name."""

    keys: AuthorizedKeys
    credentialInterfaces = (ISSHPrivateKey,)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        found = self.keys.find(credentials.blob)
        if found is None:
            return fail(UnauthorizedLogin(f"{_fingerprint(credentials.blob)} is not authorized"))
        if not credentials.signature:  # only asks whether the key would do
            return fail(ValidPublicKey())
        try:
            valid = found.key.verify(credentials.signature, credentials.sigData)
        except Exception:  # Conch raises whatever its parsers raise
            valid = False
        if not valid:
            return fail(UnauthorizedLogin(f"{_fingerprint(credentials.blob)}: wrong signature"))
        return succeed(f"{_fingerprint(credentials.blob)} {found.comment}".strip().encode())


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")


class _Person(ConchUser):
    """Somebody logged in. key: fingerprint and comment."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


@implementer(IRealm)
class _Realm:
    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: object) -> Any:
        return IConchUser, _Person(avatarId.decode()), lambda: None


class _Connection(SSHConnection):
    """Multiplexes sessions, and nothing but sessions."""

    _log = quiet
    transport: Any

    def serviceStarted(self) -> None:
        super().serviceStarted()
        self.transport.logged_in()

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        kind, rest = getNS(packet)
        if kind == b"session" and len(self.channels) < CHANNELS:
            super().ssh_CHANNEL_OPEN(packet)
            return
        # Conch would log a refusal as a failure of its own.
        self.transport.sendPacket(
            MSG_CHANNEL_OPEN_FAILURE,
            rest[:4]
            + struct.pack(">L", OPEN_ADMINISTRATIVELY_PROHIBITED)
            + NS(b"sessions only, and not too many")
            + NS(b""),
        )

    def getChannel(self, channelType: bytes, windowSize: int, maxPacket: int, data: bytes) -> Any:
        factory = self.transport.factory
        session = Session(factory.proxy, factory.reactor, windowSize, maxPacket)
        session.conn = self
        return session

    def gotGlobalRequest(self, requestType: bytes, data: bytes) -> int:
        """No forwarding. (An answer is all that a client's keep-alive wants.)"""
        return 0

    def adjustWindow(self, channel: Session, bytesToAdd: int) -> None:
        if not channel.waiting:
            super().adjustWindow(channel, bytesToAdd)
