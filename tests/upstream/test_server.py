"""One server: its connections and its health, on a clock and without sockets."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Protocol
from twisted.logger import LogLevel, capturedLogs, formatEvent

from twistproxy.net.dial import Reason, Unreachable
from twistproxy.upstream.server import IDLE_KEPT, OUT_FOR, Place, Server, place_of

PLACE = Place("http", "a.example", 8080)


@pytest.fixture
def server(outside: Any) -> Server:
    return Server(PLACE, outside.means)


URLS = {
    "default_port": ("http://a.example", Place("http", "a.example", 80)),
    "https": ("https://a.example", Place("https", "a.example", 443)),
    "port": ("http://a.example:8080", Place("http", "a.example", 8080)),
    "ipv6": ("http://[2001:db8::1]:8080", Place("http", "2001:db8::1", 8080)),
    "upper_case": ("http://A.EXAMPLE", Place("http", "a.example", 80)),
    "dot_at_the_end": ("http://a.example.", Place("http", "a.example", 80)),
    "credentials_stay_behind": ("http://me:secret@a.example", Place("http", "a.example", 80)),
}


@pytest.mark.parametrize(("url", "place"), URLS.values(), ids=URLS)
def test_the_place_of_a_url(url: str, place: Place) -> None:
    assert place_of(url) == place


def test_a_place_is_written_as_in_a_url() -> None:
    assert place_of("http://[2001:db8::1]:8080").url == "http://[2001:db8::1]:8080"
    assert Place("https", "a.example", 443).url == "https://a.example:443"
    assert Place("", "a.example", 443).url == "a.example:443"


# -- connections ----------------------------------------------------------------------


def test_it_is_dialled_by_its_place_and_the_terms_of_the_moment(outside: Any) -> None:
    def judge(address: str, port: int) -> Reason | None:
        return None

    Server(PLACE, outside.means).connect()
    outside.terms.timeouts = evolve(outside.terms.timeouts, connect=1.5)
    Server(PLACE, outside.means, judge=judge).connect()
    (host, port, first), (_, _, second) = outside.dialled
    assert (host, port) == ("a.example", 8080)
    assert (first["timeout"], first["judge"]) == (5.0, outside.judge)
    assert (second["timeout"], second["judge"]) == (1.5, judge)


def test_there_is_nothing_to_take_at_first(server: Server) -> None:
    assert server.take() is None


def test_the_connection_used_last_is_taken_first(outside: Any, server: Server) -> None:
    one, two, three = outside.idle(server, 3)
    assert (server.take(), server.take()) == (three, two)
    outside.exchange(three)
    assert (server.take(), server.take(), server.take()) == (three, one, None)
    assert server.open == 3


def test_so_many_stay_idle_and_no_more(outside: Any, server: Server) -> None:
    legs = outside.idle(server, IDLE_KEPT + 1)
    assert legs[-1].transport.disconnecting
    assert not any(leg.transport.disconnecting for leg in legs[:-1])
    assert server.snapshot()["idle"] == IDLE_KEPT


def test_all_servers_together_keep_as_many_idle_as_clients_may_have(outside: Any) -> None:
    outside.terms.limits = evolve(outside.terms.limits, connections=2)
    servers = [Server(Place("http", f"{name}.example", 80), outside.means) for name in "abcdef"]
    legs = [outside.idle(server)[0] for server in servers]
    assert [leg.transport.disconnecting for leg in legs] == [False] * 4 + [True] * 2


def test_what_ends_while_idle_is_not_handed_out(outside: Any, server: Server) -> None:
    one, two, three, four = outside.idle(server, 4)
    four.readConnectionLost()  # the transport is not gone yet
    outside.lose(three)
    two.dataReceived(b"HTTP/1.1 408 Request Timeout\r\n\r\n")  # nobody asked
    assert server.take() is one
    assert server.take() is None
    assert server.open == 3
    outside.lose(four)
    outside.lose(two)
    assert server.open == 1


def test_an_idle_connection_ends_after_the_keep_alive_time(outside: Any, server: Server) -> None:
    outside.idle(server)
    outside.clock.pump([1.0] * 59)
    assert server.snapshot()["idle"] == 1
    outside.clock.pump([1.0] * 2)
    assert server.take() is None


def test_what_is_over_the_bound_is_full(outside: Any) -> None:
    server = Server(PLACE, outside.means, max_connections=2)
    assert not server.full
    first, second = outside.leg(server), outside.leg(server)
    assert server.full
    outside.exchange(first)
    assert not server.full  # an idle one can be taken
    assert server.take() is first
    assert server.full
    outside.lose(second)
    assert not server.full


def test_connections_being_made_count(outside: Any) -> None:
    server = Server(PLACE, outside.means, max_connections=1)
    server.connect().addErrback(lambda _: None)
    assert server.full
    outside.refuse()
    assert not server.full


def test_an_idle_connection_that_ends_takes_its_place_until_it_is_gone(outside: Any) -> None:
    server = Server(PLACE, outside.means, max_connections=1)
    (leg,) = outside.idle(server)
    leg.readConnectionLost()
    assert server.full
    outside.lose(leg)
    assert not server.full


def test_a_refused_connection_fails_and_is_not_counted(outside: Any, server: Server) -> None:
    failures: list[Any] = []
    server.connect().addErrback(failures.append)
    assert server.open == 1
    outside.refuse()
    assert failures[0].check(Unreachable)
    assert server.open == 0


def test_a_cancelled_connection_is_not_counted(server: Server) -> None:
    failures: list[Any] = []
    connecting = server.connect().addErrback(failures.append)
    connecting.cancel()
    assert failures[0].check(CancelledError)
    assert server.open == 0


def test_a_bare_connection_is_the_callers(outside: Any, server: Server) -> None:
    protocol = Protocol()
    made: list[Any] = []
    server.dial(protocol).addCallback(made.append)
    outside.connect()
    assert made == [protocol]
    assert server.open == 0


def test_who_waits_for_the_last_connection_to_go_is_told(outside: Any) -> None:
    emptied: list[Server] = []
    server = Server(PLACE, outside.means, emptied=emptied.append)
    first, second = outside.idle(server, 2)
    outside.lose(first)
    assert emptied == []
    outside.lose(second)
    assert emptied == [server]
    server.connect().addErrback(lambda _: None)
    outside.refuse()
    assert emptied == [server, server]


def test_closing_ends_what_is_idle_now_or_becomes_so(outside: Any, server: Server) -> None:
    idle, busy = outside.leg(server), outside.leg(server)
    outside.exchange(idle)
    side = outside.ask(busy)
    server.close()
    assert idle.transport.disconnecting
    assert not busy.transport.disconnecting
    busy.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert side.answered
    assert busy.transport.disconnecting
    # An exchange of the generation before may still need it.
    assert not server.full
    assert outside.exchange(outside.leg(server)).transport.disconnecting


def test_a_drain_keeps_nothing_idle(outside: Any, server: Server) -> None:
    leg = outside.leg(server)
    outside.terms.draining = True
    outside.exchange(leg)
    assert leg.transport.disconnecting


# -- health ---------------------------------------------------------------------------


def test_a_failure_takes_it_out_for_a_while(outside: Any, server: Server) -> None:
    assert server.up
    server.failed()
    assert not server.up
    outside.clock.advance(OUT_FOR - 0.25)
    assert not server.up
    outside.clock.advance(0.25)
    assert server.up


def test_an_answer_brings_it_back_at_once(server: Server) -> None:
    server.failed()
    server.succeeded()
    assert server.up


def test_one_finds_out_whether_it_is_back(outside: Any, server: Server) -> None:
    server.failed()
    outside.clock.advance(OUT_FOR)
    server.connect()
    assert not server.up  # for the others, until it has answered
    server.succeeded()
    assert server.up
    server.connect()
    assert server.up


def test_the_idle_connections_of_a_failed_server_are_not_trusted(
    outside: Any, server: Server
) -> None:
    (leg,) = outside.idle(server)
    server.failed()
    assert leg.transport.disconnecting
    assert server.take() is None


def test_each_change_of_its_health_is_one_line_of_the_log(outside: Any) -> None:
    server = Server(PLACE, outside.means, part_of="pool api")
    with capturedLogs() as logged:
        server.succeeded()
        for _ in range(2):
            server.failed("http://a.example:8080 refused the connection")
        outside.clock.advance(OUT_FOR)
        server.failed()  # it is still down
        server.succeeded()
        server.succeeded()
        server.failed("The certificate is not valid.")
    assert [(event["log_level"], formatEvent(event)) for event in logged] == [
        (LogLevel.warn, "pool api: http://a.example:8080 is down: refused the connection"),
        (LogLevel.info, "pool api: http://a.example:8080 is up again"),
        (LogLevel.warn, "pool api: http://a.example:8080 is down: The certificate is not valid."),
    ]


def test_of_a_server_that_clients_chose_the_log_has_nothing(server: Server) -> None:
    with capturedLogs() as logged:
        server.failed()
        server.succeeded()
    assert not logged


def test_the_figures(outside: Any) -> None:
    server = Server(PLACE, outside.means, weight=3, authorization=b"Basic c2VjcmV0")
    outside.idle(server, 2)
    server.take()
    server.succeeded()
    server.failed("http://a.example:8080 refused the connection")
    assert server.snapshot() == {
        "url": "http://a.example:8080",
        "up": False,
        "weight": 3,
        "active": 2,
        "idle": 0,
        "requests": 1,
        "failures": 1,
        "last_failure": "refused the connection",
    }
    assert "c2VjcmV0" not in repr(server)
