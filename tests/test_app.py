"""The whole proxy without sockets: start, reload, drain, what it knows of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from twistproxy import logs
from twistproxy.admin import ReloadFailed
from twistproxy.app import CannotRun, Proxy, compile_config
from twistproxy.config import load

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BOTH = """
[forward]
allow_private = true
[reverse]
[[reverse.route]]
hosts = ["shop.example"]
pool = "shop"
[pools.shop]
servers = ["http://127.0.0.1:9001"]
"""
LOG = '[log]\naccess = { file = "access.log" }\n'


class Port:
    """A listener. listening: not yet stopped."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.listening = True

    def getHost(self) -> Any:
        return self.host

    def stopListening(self) -> Deferred[None]:
        """As real ones: it takes a turn of the reactor, which doesn't come."""
        self.listening = False
        return Deferred()


class FakeReactor(MemoryReactorClock):
    """taken: ports that somebody else listens on. sealed: no unix socket can be made."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[int] = set()
        self.sealed = False
        self.ports: list[Port] = []

    def listenTCP(self, port: int, *args: Any, **named: Any) -> Any:
        if port in self.taken:
            raise CannotListenError("", port, OSError(98, "Address already in use"))
        self.ports.append(Port(super().listenTCP(port, *args, **named).getHost()))  # type: ignore[no-untyped-call]
        return self.ports[-1]

    def listenUNIX(self, *args: Any, **named: Any) -> Any:
        if self.sealed:
            raise CannotListenError(None, args[0], OSError(28, "No space left on device"))
        self.ports.append(Port(super().listenUNIX(*args, **named).getHost()))  # type: ignore[no-untyped-call]
        return self.ports[-1]


class Client(StringTransport):
    """The transport of a client leg, half-closed or not."""

    def loseWriteConnection(self) -> None: ...


class House:
    """A proxy, the file that it was made of, and clients and servers to play."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "twistproxy.toml"
        self.reactor = FakeReactor()
        self.wall = 1_700_000_000.0
        self.proxy: Proxy

    def build(self, text: str) -> Proxy:
        self.write(text)
        config = load.load(self.file, {})
        self.proxy = Proxy(self.reactor, config, self.file, lambda: self.wall)
        return self.proxy

    def start(self, text: str) -> Proxy:
        done = self.build(text).start()
        assert done.called
        assert self.proxy.state == "ready"
        return self.proxy

    def write(self, text: str) -> None:
        self.file.write_text(text if "[log]" in text else text + LOG)

    def reload(self, text: str) -> list[str] | str:
        """What it tells, or the errors."""
        self.write(text)
        told: list[Any] = []
        self.proxy.reload().addBoth(told.append)
        if isinstance(told[0], Failure):
            told[0].trap(ReloadFailed)
            return str(told[0].value)
        found: list[str] = told[0]
        return found

    def enter(self, port: int, data: bytes = b"") -> StringTransport:
        """A client comes to that port and says that."""
        factory = next(entry[1] for entry in self.reactor.tcpServers if entry[0] == port)
        peer = IPv4Address("TCP", "127.0.0.1", 50000)
        leg = factory.buildProtocol(peer)
        transport = Client(IPv4Address("TCP", "127.0.0.1", port), peer)
        transport.protocol = leg
        leg.makeConnection(transport)
        if data:
            leg.dataReceived(data)
        return transport

    def arrive(self) -> Any:
        """The server dialled last takes the connection; the transport to it."""
        arrival = self.reactor.tcpClients[-1][2].buildProtocol(None)
        transport: Any = StringTransport()
        arrival.makeConnection(transport)
        return transport

    def answer(self, data: bytes = ANSWER) -> Any:
        transport = self.arrive()
        transport.protocol.dataReceived(data)
        return transport

    def leave(self, transport: Any) -> None:
        if transport.producer is None:  # Twisted's own transports don't mind
            transport.unregisterProducer = lambda: None
        transport.protocol.connectionLost(Failure(ConnectionDone()))


def get(host: str, path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    if hasattr(house, "proxy"):
        house.proxy._access_log.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


# -- start ----------------------------------------------------------------------------


def test_every_listener_is_opened(house: House, authority: Authority) -> None:
    cert, key = authority.issue("shop.example")
    house.start(
        f"""
        [forward]
        listen = ["tcp:3128:interface=127.0.0.1", "tcp:3129:interface=127.0.0.1"]
        [reverse]
        tls_listen = ["tcp:8443:interface=127.0.0.1"]
        [[reverse.tls]]
        hosts = ["shop.example"]
        cert = "{cert}"
        key = "{key}"
        [manhole]
        authorized_keys = "authorized_keys"
        [admin]
        listen = "tcp:9090:interface=127.0.0.1"
        """
    )
    ports = [port for port, *_ in house.reactor.tcpServers]
    assert ports == [3128, 3129, 8080, 8443, 2222, 9090]
    assert [path for path, *_ in house.reactor.unixServers] == [
        str(house.folder / "var/admin.sock")
    ]
    assert all(port.listening for port in house.reactor.ports)


def test_only_the_tables_that_are_there_run(house: House) -> None:
    house.start("[reverse]\n")
    assert [port for port, *_ in house.reactor.tcpServers] == [8080]


def test_all_that_cannot_be_opened_is_told_at_once(house: House) -> None:
    proxy = house.build(
        BOTH
        + """
        [manhole]
        authorized_keys = "authorized_keys"
        host_key = "file/key"
        [admin]
        listen = "tcp:9090:interface=127.0.0.1"
        """
    )
    house.reactor.taken = {3128, 9090}
    (house.folder / "file").touch()
    failures: list[Any] = []
    proxy.start().addErrback(failures.append)
    # Before any turn of the reactor, although the listeners need one to close.
    (failure,) = failures
    failure.trap(CannotRun)
    forward, manhole, admin = str(failure.value).splitlines()
    assert forward == "tcp:3128:interface=127.0.0.1: address already in use"
    assert manhole == f"{house.folder}/file: File exists"
    assert admin == "tcp:9090:interface=127.0.0.1: address already in use"
    assert house.reactor.unixServers == []  # nobody would remove its file
    # The reverse proxy's is closing; the others follow it.
    assert [port.host.port for port in house.reactor.ports if not port.listening][:1] == [8080]


def test_an_admin_socket_that_cannot_be_made_is_told(house: House) -> None:
    proxy = house.build(BOTH)
    house.reactor.sealed = True
    failures: list[Any] = []
    proxy.start().addErrback(failures.append)
    assert str(failures[0].value).endswith(
        "admin.sock:mode=600:lockfile=0: no space left on device"
    )
    assert not house.reactor.ports[0].listening


EVERYTHING = """\
[forward]
[[forward.parent]]
name = "p"
url = "http://127.0.0.1:3000"
hosts = ["p.example", "xn--a"]
[reverse]
[[reverse.route]]
path = "/%4"
pool = "a"
[[reverse.tls]]
hosts = ["a.example"]
cert = "no.pem"
key = "no.pem"
[[policy.rule]]
name = "no"
when = { path = "/%4" }
action = "deny"
[manhole]
authorized_keys = "authorized_keys"
host_key = "no.pem"
[pools.a]
servers = ["https://a.example", "https://A.example:443"]
tls = { ca = "no.pem" }
"""
FAULTS = [
    (5, "forward.parent[0].hosts[1]: "),
    (8, "reverse.route[0].path: "),
    (12, "reverse.tls[0].cert: {folder}/no.pem: no certificate in PEM form is in it"),
    (13, "reverse.tls[0].key: {folder}/no.pem: no private key in PEM form is in it"),
    (16, "policy.rule[0].when.path[0]: "),
    (20, "manhole.host_key: {folder}/no.pem: not a private key"),
    (22, "pools.a.servers[1]: is pools.a.servers[0] again"),
    (23, "pools.a.tls.ca: {folder}/no.pem: no certificate in PEM form is in it"),
]


def all_faults(house: House, errors: object) -> bool:
    """Whether it is the errors of EVERYTHING, each with its line."""
    lines = str(errors).splitlines()
    assert len(lines) == len(FAULTS)
    for line, (number, text) in zip(lines, FAULTS, strict=True):
        text = text.format(folder=house.folder)
        assert line.startswith(f"{house.file}:{number}: {text}")
    return True


def test_what_it_cannot_be_built_of_is_told_at_once_by_lines(house: House) -> None:
    (house.folder / "no.pem").write_text("nothing of use")
    with pytest.raises(load.ConfigErrors) as caught:
        house.build(EVERYTHING)
    assert all_faults(house, caught.value)


def test_to_look_at_a_configuration_makes_nothing(house: House, authority: Authority) -> None:
    cert, key = authority.issue("a.example")
    manhole = '[manhole]\nauthorized_keys = "keys"\n'
    tls = f'[[reverse.tls]]\nhosts = ["a.example"]\ncert = "{cert}"\nkey = "{key}"\n'
    house.write(BOTH + tls + manhole)
    before = set(house.folder.iterdir())
    compiled = compile_config(load.load(house.file, {}), house.file, 0.0)
    assert compiled.certificates.warnings[0].startswith(f"{cert}: not valid before ")
    assert set(house.folder.iterdir()) == before


def test_a_log_that_cannot_be_opened_is_told(house: House) -> None:
    (house.folder / "loop").symlink_to("loop")
    with pytest.raises(load.ConfigErrors, match=r":2: log\.access\.file: .*loop: Too many"):
        house.build('[log]\naccess = { file = "loop" }\n')


# -- traffic --------------------------------------------------------------------------


def test_both_sides_answer_and_share_the_cache(house: House) -> None:
    proxy = house.start(BOTH)
    client = house.enter(8080, get("shop.example"))
    server = house.answer(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=9\r\n\r\nhello"
    )
    assert server.value().startswith(b"GET / HTTP/1.1\r\n")
    assert client.value().endswith(b"\r\n\r\nhello")
    other = house.enter(3128, b"GET http://shop.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    assert other.value().endswith(b"\r\n\r\nhello")
    assert len(house.reactor.tcpClients) == 1
    assert proxy.snapshot()["cache"]["hits"] == 1


def test_each_exchange_is_one_line_of_the_access_log(house: House) -> None:
    house.start(BOTH)
    request = (
        b"GET http://127.0.0.1:9001/a?b HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n"
        b"User-Agent: me\r\nReferer: http://before/\r\n\r\n"
    )
    house.enter(3128, request)
    house.reactor.advance(1.5)
    house.answer()
    house.enter(8080, b"nonsense\r\n\r\n")
    house.proxy._access_log.close()
    ids = house.proxy.road.ids
    lines = (house.folder / "access.log").read_text().splitlines()
    get, nonsense = map(json.loads, lines)
    assert get == {
        "time": "2023-11-14T22:13:20.000Z",
        "client": "127.0.0.1",
        "side": "forward",
        "method": "GET",
        "url": "http://127.0.0.1:9001/a?b",
        "http": "1.1",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 5,
        "duration": 1.5,
        "server": "http://127.0.0.1:9001",
        "server_duration": 0.0,  # it took that long to connect
        "cache": "miss",
        "rule": "default",
        "error": None,
        "request_id": f"{ids}-1",
        "user_agent": "me",
        "referer": "http://before/",
    }
    assert (nonsense["side"], nonsense["method"], nonsense["url"]) == ("reverse", "-", "-")
    assert (nonsense["status"], nonsense["error"]) == (400, "http_request_error")


OURS = {
    "ourselves": ("127.0.0.1:3128", b"proxy_loop_detected"),
    "ourselves_by_another_address": ("127.0.0.2:3129", b"proxy_loop_detected"),
    "ourselves_in_disguise": ("[::ffff:127.0.0.1]:3128", b"proxy_loop_detected"),
    "the_admin_window": ("127.0.0.1:9090", b"destination_ip_prohibited"),
    "the_manhole": ("127.0.0.1:2222", b"destination_ip_prohibited"),
}


@pytest.mark.parametrize(("target", "problem"), OURS.values(), ids=OURS)
def test_our_own_listeners_are_not_connected_to(house: House, target: str, problem: bytes) -> None:
    house.start(
        """
        [forward]
        listen = ["tcp:3128:interface=127.0.0.1", "tcp:3129"]
        clients = ["127.0.0.0/8"]
        allow_private = true
        [manhole]
        authorized_keys = "authorized_keys"
        [admin]
        listen = "tcp:9090:interface=127.0.0.1"
        """
    )
    client = house.enter(3128, f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    assert problem in client.value()
    assert house.reactor.tcpClients == []


def test_a_pool_that_leads_back_to_the_forward_proxy_is_a_loop(house: House) -> None:
    house.start(BOTH.replace("9001", "3128"))
    client = house.enter(8080, get("shop.example"))
    assert client.value().startswith(b"HTTP/1.1 502 ")
    assert b"proxy_loop_detected" in client.value()


def test_an_operators_server_may_be_private_though_nobody_elses_may(house: House) -> None:
    house.start(BOTH.replace("allow_private = true", ""))
    client = house.enter(3128, get("127.0.0.1:9002").replace(b" /", b" http://127.0.0.1:9002/"))
    assert b"destination_ip_prohibited" in client.value()
    house.enter(8080, get("shop.example"))
    assert [(host, port) for host, port, *_ in house.reactor.tcpClients] == [("127.0.0.1", 9001)]


# -- drain ----------------------------------------------------------------------------


def draining(house: House) -> list[object]:
    """Begin, with listeners that close at once; holds something when it is done."""
    for port in house.reactor.ports:
        port.stopListening = lambda port=port: setattr(port, "listening", False)  # type: ignore
    done: list[object] = []
    house.proxy.drain().addBoth(done.append)
    return done


def test_without_clients_a_drain_is_over_at_once(house: House) -> None:
    proxy = house.start(BOTH)
    assert draining(house) == [None]
    assert proxy.state == "draining"
    assert not any(port.listening for port in house.reactor.ports)
    assert not house.reactor.getDelayedCalls()


def test_what_is_under_way_is_answered_and_nothing_else(house: House) -> None:
    house.start(BOTH)
    idle = house.enter(8080)
    busy = house.enter(8080, get("shop.example"))
    server = house.arrive()
    with capturedLogs() as logged:
        done = draining(house)
    assert formatEvent(logged[0]) == "Draining, 10 s at most; exchanges under way: 1"
    house.reactor.advance(1)
    assert idle.disconnecting
    assert not busy.disconnecting
    server.protocol.dataReceived(ANSWER)
    assert busy.value().endswith(b"hello")
    assert busy.disconnecting
    assert server.disconnecting
    assert done == []
    for each in (idle, busy):
        house.leave(each)
    house.reactor.advance(0.1)
    assert done == [None]


def test_a_drain_has_an_end(house: House) -> None:
    house.start(BOTH)
    busy = house.enter(8080, get("shop.example"))
    server = house.arrive()
    done = draining(house)
    house.reactor.pump([0.1] * 99)
    assert done == []
    assert not busy.disconnected
    house.reactor.pump([0.1] * 2)
    assert done == [None]
    assert busy.disconnected
    assert server.disconnected


def test_a_drain_can_be_hurried(house: House) -> None:
    proxy = house.start(BOTH)
    busy = house.enter(8080, get("shop.example"))
    done = draining(house)
    house.reactor.advance(0.1)
    assert done == []
    proxy.hurry()
    house.reactor.advance(0.1)
    assert done == [None]
    assert busy.disconnected


def test_idle_connections_to_servers_end_with_it(house: House) -> None:
    house.start(BOTH)
    client = house.enter(8080, get("shop.example"))
    pooled = house.answer()
    other = house.enter(3128, get("127.0.0.1:9002").replace(b" /", b" http://127.0.0.1:9002/"))
    direct = house.answer()
    for each in (client, other):
        house.leave(each)
    assert not pooled.disconnecting
    assert not direct.disconnecting
    draining(house)
    assert pooled.disconnecting
    assert direct.disconnecting


# -- reload ---------------------------------------------------------------------------

BAD = {
    "no_toml": ("[forward\n", "twistproxy.toml:5: "),
    "a_wrong_value": (BOTH + '[cache]\nmemory = "a pound"\n', "cache.memory"),
    "a_file_of_no_use": (
        BOTH + '[[reverse.tls]]\nhosts = ["a.example"]\ncert = "no.pem"\nkey = "no.pem"\n',
        "no.pem",
    ),
    "a_log_that_cannot_be_opened": (
        BOTH + '[log]\naccess = { file = "loop" }\n',
        "loop: Too many levels",
    ),
}


@pytest.mark.parametrize(("text", "part"), BAD.values(), ids=BAD)
def test_a_reload_with_errors_changes_nothing(house: House, text: str, part: str) -> None:
    proxy = house.start(BOTH)
    (house.folder / "loop").symlink_to("loop")
    (house.folder / "no.pem").write_text("nothing of use")
    generation, log, certificates = proxy.road.generation, proxy._access_log, proxy._certificates
    errors = house.reload('[limits]\nfields = 7\n[timeouts]\nhead = "1s"\n' + text)
    assert isinstance(errors, str)
    assert part in errors
    assert proxy.road.generation is generation
    assert proxy._access_log is log
    assert proxy._certificates is certificates
    assert proxy.terms.limits.fields == 100
    assert proxy.terms.timeouts.head == 10


def test_a_reload_tells_all_faults_at_once(house: House) -> None:
    proxy = house.start(FORWARD)
    (house.folder / "no.pem").write_text("nothing of use")
    assert all_faults(house, house.reload(EVERYTHING))
    assert proxy.road.generation.number == 1


def test_what_would_fail_after_the_restart_fails_now(house: House) -> None:
    house.start(FORWARD)
    (house.folder / "no.pem").write_text("nothing of use")
    errors = house.reload(FORWARD + '[manhole]\nauthorized_keys = "keys"\nhost_key = "no.pem"\n')
    assert "4: manhole.host_key: " in str(errors)


def test_a_file_that_is_gone_changes_nothing(house: House) -> None:
    proxy = house.start(BOTH)
    house.file.unlink()
    told: list[Any] = []
    proxy.reload().addErrback(told.append)
    assert "can't be read" in str(told[0].value)
    assert proxy.road.generation.number == 1


def test_a_reload_tells_what_changed(house: House) -> None:
    house.start(BOTH)
    assert house.reload(BOTH) == ["generation 2; changed: nothing"]
    changed = BOTH.replace("9001", "9002") + "[limits]\nfields = 7\n"
    assert house.reload(changed) == ["generation 3; changed: pools, limits"]
    assert house.proxy.snapshot()["generation"] == 3


def test_the_terms_are_swapped_under_all_legs(house: House) -> None:
    proxy = house.start(BOTH)
    client = house.enter(8080)
    house.reload(BOTH + '[limits]\nfields = 2\n[timeouts]\nhead = "2s"\n')
    client.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: shop.example\r\nA: 1\r\nB: 2\r\n\r\n")
    assert client.value().startswith(b"HTTP/1.1 431 ")
    assert proxy.terms.timeouts.head == 2


def test_the_policy_is_swapped(house: House) -> None:
    house.start(BOTH)
    deny = '[[policy.rule]]\nname = "no"\nwhen = { path = "/" }\naction = "deny"\n'
    house.reload(BOTH + deny)
    assert house.enter(8080, get("shop.example")).value().startswith(b"HTTP/1.1 403 ")


def test_routes_and_pools_are_swapped_and_what_is_under_way_ends_as_it_began(house: House) -> None:
    house.start(BOTH)
    before = house.enter(8080, get("shop.example"))
    server = house.arrive()
    house.reload(BOTH.replace("9001", "9002"))
    house.enter(8080, get("shop.example"))
    assert [port for _, port, *_ in house.reactor.tcpClients] == [9001, 9002]
    server.protocol.dataReceived(ANSWER)
    assert before.value().endswith(b"hello")
    assert server.disconnecting  # nobody will need it again


def test_servers_and_parents_that_went_are_let_go_and_the_others_kept(house: House) -> None:
    parents = (
        '[[forward.parent]]\nname = "p"\nurl = "http://127.0.0.1:{}"\nhosts = [".p.example"]\n'
    )
    config = BOTH + parents.format(3000)
    house.start(config)
    house.enter(8080, get("shop.example"))
    pooled = house.answer()
    house.enter(3128, b"GET http://p.example/ HTTP/1.1\r\nHost: p.example\r\n\r\n")
    parent = house.answer()
    house.reload(config + "[limits]\nfields = 7\n")
    assert not pooled.disconnecting
    assert not parent.disconnecting
    house.reload(BOTH + parents.format(3001))
    assert not pooled.disconnecting
    assert parent.disconnecting


def test_the_cache_is_resized_and_keeps_what_it_holds(house: House) -> None:
    proxy = house.start(BOTH)
    house.enter(8080, get("shop.example"))
    house.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=9\r\n\r\nhello")
    house.reload(BOTH + '[cache]\nmemory = "1MiB"\n')
    assert house.enter(8080, get("shop.example")).value().endswith(b"hello")
    assert 1 << 20 in proxy.snapshot()["cache"].values()
    house.reload(BOTH + "[cache]\nenabled = false\n")
    assert house.enter(8080, get("shop.example")).value() == b""  # it is being fetched


@pytest.mark.parametrize("url", ["http://shop.example/x", "http://a.example/x"])
def test_it_fetches_for_the_cache(house: House, url: str) -> None:
    proxy = house.start(BOTH)
    done: list[Any] = []
    proxy.fetch(url).addCallback(done.append)
    house.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=9\r\n\r\nhello")
    proxy.fetch(url).addCallback(done.append)
    assert done == [200, 200]
    assert proxy.snapshot()["cache"]["hits"] == 1


def test_what_is_no_url_is_not_fetched(house: House) -> None:
    with pytest.raises(ValueError, match="target"):
        house.start(BOTH).fetch("shop.example")


def test_the_forward_side_takes_its_new_settings(house: House) -> None:
    house.start(BOTH)
    judge = house.proxy._forward.judge  # type: ignore[union-attr]
    house.reload(BOTH + "[limits]\nfields = 7\n")
    assert house.proxy._forward.judge is judge  # type: ignore[union-attr]
    house.reload(BOTH.replace("allow_private = true", 'clients = ["192.0.2.0/24"]'))
    assert house.proxy._forward.judge is not judge  # type: ignore[union-attr]
    assert b" 403 " in house.enter(3128, get("a.example", "http://a.example/")).value()


def test_certificates_are_swapped(house: House, authority: Authority) -> None:
    text = BOTH + '[[reverse.tls]]\nhosts = ["{0}"]\ncert = "{1}"\nkey = "{2}"\n'
    house.start(text.format("one.example", *authority.issue("one.example")))
    one = house.proxy._certificates
    house.reload(text.format("two.example", *authority.issue("two.example", days=-5)))
    assert house.proxy._server_tls._certificates is house.proxy._certificates is not one
    (warning,) = house.proxy.snapshot()["tls"]["warnings"]
    assert "expired" in warning


def test_a_certificate_is_for_hosts_as_clients_name_them(
    house: House, authority: Authority
) -> None:
    cert, key = authority.issue("xn--bcher-kva.example")
    tls = f'[[reverse.tls]]\nhosts = ["Bücher.example."]\ncert = "{cert}"\nkey = "{key}"\n'
    house.start(BOTH + tls)
    assert set(house.proxy._certificates.by_host) == {"xn--bcher-kva.example"}


def test_the_access_log_moves_and_changes_its_format(house: House) -> None:
    house.start(BOTH)
    house.enter(8080, get("other.example"))
    house.reload(BOTH + '[log]\naccess = { file = "new.log", format = "combined" }\n')
    house.enter(8080, get("other.example"))
    house.proxy._access_log.close()
    assert json.loads((house.folder / "access.log").read_text())["status"] == 404
    assert '"GET http://other.example/ HTTP/1.1" 404 ' in (house.folder / "new.log").read_text()


def test_the_access_log_is_opened_anew_after_a_rotation(house: House) -> None:
    house.start(BOTH)
    house.enter(8080, get("other.example"))
    (house.folder / "access.log").rename(house.folder / "access.log.1")
    house.reload(BOTH)
    house.enter(8080, get("other.example"))
    house.proxy._access_log.close()
    for name in ("access.log", "access.log.1"):
        assert len((house.folder / name).read_text().splitlines()) == 1


def test_the_level_of_the_log_is_changed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[str] = []
    monkeypatch.setattr(logs, "again", levels.append)
    house.start(BOTH)
    house.reload(BOTH + '[log]\naccess = { file = "access.log" }\nlevel = "error"\n')
    assert levels == ["error"]


FORWARD = "[forward]\n"
RESTARTS = {
    "a_listener": (
        '[forward]\nlisten = ["tcp:3999:interface=127.0.0.1"]\n', ["forward.listen: changes"]
    ),
    "a_side_that_opens": (FORWARD + "[reverse]\n", ["reverse: opens"]),
    "a_side_that_closes": ("[reverse]\n", ["forward: closes", "reverse: opens"]),
    "the_manhole": (FORWARD + '[manhole]\nauthorized_keys = "keys"\n', ["manhole: changes"]),
    "the_admin_window": (
        FORWARD + '[admin]\nlisten = "tcp:9090:interface=127.0.0.1"\n',
        ["admin: changes"],
    ),
    "the_state": ('state_dir = "elsewhere"\n' + FORWARD, ["state_dir: changes"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "waiting"), RESTARTS.values(), ids=RESTARTS)
def test_what_needs_a_restart_is_told_each_time(
    house: House, text: str, waiting: list[str]
) -> None:
    house.start(FORWARD)
    for _ in range(2):
        _, *told = house.reload(text + "[limits]\nfields = 7\n")
        assert told == [f"{line} with a restart" for line in waiting]
        assert house.proxy.terms.limits.fields == 7
    assert [port.host.port for port in house.reactor.ports if hasattr(port.host, "port")] == [3128]
    assert house.reload(text)[0].endswith("changed: limits")
    assert house.reload(text)[0].endswith("changed: nothing yet")


def test_a_side_that_closes_with_the_restart_serves_until_then(house: House) -> None:
    house.start(BOTH)
    house.reload("[forward]\n")
    house.enter(8080, get("shop.example"))
    house.answer()
    assert [port for _, port, *_ in house.reactor.tcpClients] == [9001]


def test_a_tls_listener_that_closes_with_the_restart_keeps_its_certificates(
    house: House, authority: Authority
) -> None:
    cert, key = authority.issue("shop.example")
    listen = '[reverse]\ntls_listen = ["tcp:8443:interface=127.0.0.1"]\n'
    tls = f'[[reverse.tls]]\nhosts = ["shop.example"]\ncert = "{cert}"\nkey = "{key}"\n'
    house.start(BOTH.replace("[reverse]\n", listen) + tls)
    house.reload(BOTH)
    assert house.proxy._certificates.choose("shop.example") is not None


def test_without_a_file_the_defaults_are_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(house.folder)
    proxy = house.proxy = Proxy(house.reactor, load.defaults({}), None)
    told: list[Any] = []
    proxy.reload().addBoth(told.append)
    assert told == [["generation 2; changed: nothing"]]


# -- what it knows of itself ----------------------------------------------------------


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or type(value) in (str, int, float, bool)


FIGURES = {
    "asks",
    "bandwidths",
    "limits",
    "lists",
    "quotas",
    "version", "compiled", "pid", "uptime", "reactor", "state", "generation", "exchanges", "cache",
    "policy", "pools", "parents", "destinations", "connections", "host_names", "targets",
    "field_lines", "sendfile", "splice", "manhole", "tls", "log",
}  # fmt: skip


def test_the_snapshot_is_plain_values(house: House) -> None:
    parent = (
        '[[forward.parent]]\nname = "p"\nurl = "http://me:secret@127.0.0.1:3000"\nfail = "open"\n'
    )
    rule = '[[policy.rule]]\nname = "no"\nwhen = { host = "no.example" }\naction = "deny"\n'
    proxy = house.start(BOTH + parent + rule)
    house.enter(8080, get("shop.example"))
    house.answer()
    snapshot = proxy.snapshot()
    assert plain(snapshot)
    assert json.loads(json.dumps(snapshot)) == snapshot
    assert set(snapshot) == FIGURES
    assert "secret" not in json.dumps(snapshot)
    assert "bWU6c2VjcmV0" not in json.dumps(snapshot)


def test_the_figures_count(house: House) -> None:
    proxy = house.start(BOTH)
    house.enter(8080, get("shop.example"))
    house.reactor.advance(2)
    exchanges = proxy.snapshot()["exchanges"]
    assert (exchanges["total"], exchanges["active"], exchanges["reverse"]) == (1, 1, 0)
    house.answer()
    house.enter(3128, b"GET http://a_b.example:0/ HTTP/1.1\r\nHost: a\r\n\r\n")
    snapshot = proxy.snapshot()
    exchanges = snapshot["exchanges"]
    assert (exchanges["total"], exchanges["active"], exchanges["errors"]) == (2, 0, 1)
    assert (exchanges["reverse"], exchanges["forward"]) == (1, 1)
    assert (snapshot["uptime"], snapshot["state"]) == (2, "ready")
    assert snapshot["connections"]["clients"] == 2
    (server,) = snapshot["pools"]["shop"]["servers"]
    assert (server["idle"], server["requests"]) == (1, 1)


def test_its_repr_is_one_line(house: House) -> None:
    proxy = house.start(BOTH)
    house.enter(8080, get("shop.example"))
    house.reactor.advance(61)
    assert repr(proxy).startswith("twistproxy ")
    assert "ready, generation 1, on fake" in repr(proxy)
    assert repr(proxy).endswith("up 61 s: 1 exchanges, 0 active")
