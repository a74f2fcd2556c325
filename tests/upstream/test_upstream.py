"""What a connection that did not come about means for the exchange."""

from __future__ import annotations

import pytest

from twistproxy.http import errors
from twistproxy.net.dial import Reason, Unreachable
from twistproxy.upstream import problem_of


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_each_reason_is_a_problem_with_its_blanks_filled_in(reason: Reason) -> None:
    problem = problem_of(Unreachable(reason, "192.0.2.1: no"), "http://a.example:80")
    assert problem.status in {502, 504}
    assert "{" not in problem.text
    if reason is not Reason.LOOP:  # which is about ourselves
        assert "a.example" in problem.text


NAMES = {
    Reason.REFUSED: "connection_refused",
    Reason.TIMEOUT: "connection_timeout",
    Reason.DNS_ERROR: "dns_error",
    Reason.DNS_TIMEOUT: "dns_timeout",
    Reason.PROHIBITED: "destination_ip_prohibited",
    Reason.LOOP: "proxy_loop_detected",
    Reason.UNROUTABLE: "destination_ip_unroutable",
    Reason.TLS_PROTOCOL: "tls_protocol_error",
    Reason.TLS_CERTIFICATE: "tls_certificate_error",
}


@pytest.mark.parametrize(("reason", "name"), NAMES.items(), ids=lambda value: str(value))
def test_by_their_names_of_rfc_9209(reason: Reason, name: str) -> None:
    assert problem_of(Unreachable(reason, ""), "a.example:443").name == name


def test_anything_else_is_a_bug() -> None:
    assert problem_of(RuntimeError("oops"), "http://a.example") is errors.INTERNAL_ERROR


HOSTS = {
    "a_name": ("http://a.example:81", "The name a.example can't be resolved."),
    "a_tunnels": ("a.example:443", "The name a.example can't be resolved."),
    "an_address": ("http://[2001:db8::1]:80", "The name [2001:db8::1] can't be resolved."),
}


@pytest.mark.parametrize(("server", "text"), HOSTS.values(), ids=HOSTS)
def test_a_name_has_no_port(server: str, text: str) -> None:
    assert problem_of(Unreachable(Reason.DNS_ERROR, ""), server).text == text
