"""Who answers: servers, pools of them, and parents to leave through.

In: a target. Out: the servers to try, best first, and connections to them.
Knows nothing of policy, cache, or what an exchange is about.

server         one server: its connections and its health
pool           a named pool of the reverse proxy
destinations   the open internet: a pool of one server for each target, made on demand
parents        other proxies that requests leave through
balance/       in which order a pool's servers are tried
routing/       which pool a request goes to
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attrs import frozen

from twistproxy.config.errors import Fault, Where, shown
from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.uri import host_pattern
from twistproxy.net.dial import Dialler, Reason, Unreachable
from twistproxy.net.sweep import Sweep
from twistproxy.wire import Terms


@frozen
class Means:
    """What every server needs to be reached.

    judge: what the addresses of servers must pass that the operator chose.
    """

    dialler: Dialler
    sweep: Sweep
    terms: Terms
    judge: Callable[[str, int], Reason | None]


def faults_of_hosts(where: Where, hosts: Sequence[str]) -> Iterator[Fault]:
    """The hosts of a table of the configuration that are none."""
    for index, host in enumerate(hosts):
        try:
            host_pattern(host)
        except ValueError as error:
            yield Fault((*where, "hosts", index), f"{shown(host)}: {error}")


def problem_of(error: BaseException, server: str) -> Problem:
    """What a connection that did not come about means for the exchange (RFC 9209 §2.3).

    server: the `url` of its place.
    """
    if not isinstance(error, Unreachable):
        return errors.INTERNAL_ERROR
    return _PROBLEMS[error.reason].about(
        server=server, host=server.rpartition("://")[2].rpartition(":")[0], why=error.detail
    )


_PROBLEMS = {
    Reason.DNS_TIMEOUT: errors.DNS_TIMEOUT,
    Reason.DNS_ERROR: errors.DNS_ERROR,
    Reason.PROHIBITED: errors.DESTINATION_IP_PROHIBITED,
    Reason.LOOP: errors.LOOP_DETECTED,
    Reason.REFUSED: errors.CONNECTION_REFUSED,
    Reason.TIMEOUT: errors.CONNECTION_TIMEOUT,
    Reason.UNROUTABLE: errors.DESTINATION_IP_UNROUTABLE,
    Reason.TLS_PROTOCOL: errors.TLS_PROTOCOL_ERROR,
    Reason.TLS_CERTIFICATE: errors.TLS_CERTIFICATE_ERROR,
}
