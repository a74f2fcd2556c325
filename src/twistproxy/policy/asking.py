"""A question that nobody has asked, made of words: what `explain` and `test` put to the plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final, TypeVar

from attrs import frozen

from twistproxy.config import endpoints
from twistproxy.config.errors import shown
from twistproxy.config.model import Config
from twistproxy.config.values import TOKEN
from twistproxy.http import uri
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request
from twistproxy.http.uri import Target
from twistproxy.policy.explanation import Explanation
from twistproxy.policy.plan import SIDES, Plan

T = TypeVar("T")

#: Characters that end a line, or a field's value (RFC 9110 §5.5).
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class CannotBeAsked(ValueError):
    """What is wrong with the words. faults: what of each, by its key."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{key}: {fault}" for key, fault in faults.items()))


@frozen(kw_only=True)
class Supposed:
    """A `Question`, as a client would ask it."""

    method: str
    target: Target
    client: str
    request: Request
    user: str | None
    groups: frozenset[str]
    at: float
    addresses: tuple[str, ...] | None
    response: None = None

    def __str__(self) -> str:
        text = f"{self.method} {self.target.url} from {self.client or 'a unix socket'}"
        if self.user is not None:
            text += f", user {self.user}"
        if self.groups:
            text += f", in {', '.join(sorted(self.groups))}"
        return text


def supposed(
    url: str,
    *,
    method: str | None = None,
    client: str = "127.0.0.1",
    user: str | None = None,
    groups: Iterable[str] = (),
    header: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    time: object = None,
    addresses: Iterable[str] = (),
    side: str = "forward",
    now: float,
    ports: Collection[int] = (),
) -> Supposed:
    """The question that a client asks who wants `url`. Raises `CannotBeAsked`, all of it at once.

    method: None: GET; for an https URL on the forward side CONNECT, since that is what clients do.
    client: an address; "" is a unix socket. time: ISO 8601, local where it has no offset; None:
    now. addresses: of the URL's host, none: not looked up. ports: those that the reverse side
    listens on, which its rules don't see.
    """
    faults: dict[str, str] = {}

    def read(key: str, reader: Callable[..., T], *words: object) -> T:
        try:
            return reader(*words)
        except ValueError as why:
            faults.setdefault(key, str(why))
            return None  # type: ignore[return-value]  # never looked at: there are faults

    if method is None:
        tunnel = side == "forward" and url[:8].lower() == "https://"
        method = "CONNECT" if tunnel else "GET"
    read("side", _side, side)
    read("method", _method, method, side)
    target = read("url", _target, url, method, side, ports)
    found = read("client", _client, client)
    pairs = header.items() if isinstance(header, Mapping) else header
    lines = [read("header", _line, name, value) for name, value in pairs]
    at = now if time is None else read("time", _moment, time)
    looked_up = tuple(read("addresses", _address, each) for each in addresses)
    if faults:
        raise CannotBeAsked(faults)
    if not looked_up and _is_address(target.host):
        looked_up = (target.host,)
    fields = Fields(lines)
    if b"host" not in fields:
        fields.append(target.host_line)
    return Supposed(
        method=method,
        target=target,
        client=found,
        request=Request(method.encode(), target.url.encode(), fields),
        user=user,
        groups=frozenset([groups] if isinstance(groups, str) else groups),
        at=at,
        addresses=looked_up or None,
    )


@frozen(repr=False)
class Explained:
    """A question and its explanation. notes: what refuses it before the rules are asked.
    standing: what is left of the limits that it would count for, where a process runs.
    """

    question: Supposed
    explanation: Explanation
    notes: tuple[str, ...]
    standing: tuple[str, ...] = ()

    def __repr__(self) -> str:
        when = datetime.fromtimestamp(self.question.at, UTC).isoformat(" ", "seconds")
        lines = [f"{self.question}, at {when}", "", repr(self.explanation)]
        return "\n".join([*lines, *self.standing, *(f"But: {note}" for note in self.notes)])


def explained(
    plan: Plan, config: Config, url: str, side: str = "forward", **words: Any
) -> Explained:
    """What a plan says to `supposed(url, side=side, **words)`, which raises what it raises."""
    question = supposed(url, side=side, **words)
    return Explained(question, plan.explain(question, side), _notes(config, question, side))


def _notes(config: Config, question: Supposed, side: str) -> tuple[str, ...]:
    """What of the configuration refuses it before any rule is asked."""
    if side == "reverse":
        return () if config.reverse else ("there is no [reverse], so nobody can ask this.",)
    forward, found = config.forward, []
    if forward is None:
        return ("there is no [forward], so nobody can ask this.",)
    if question.client and not any(ip_address(question.client) in net for net in forward.clients):
        found.append(f"{question.client} is not in forward.clients, and is denied before any rule.")
    if question.method == "CONNECT" and forward.connect_ports != "any":
        port = question.target.port
        if port not in forward.connect_ports:
            found.append(f"{port} is not in forward.connect_ports, and is denied before any rule.")
    return tuple(found)


def ports_of(config: Config) -> set[int]:
    """Those that the reverse side listens on, as far as its configuration tells."""
    reverse = config.reverse
    listeners = (*reverse.listen, *reverse.tls_listen) if reverse else ()
    given = [endpoints.parse(text)[1] for text in listeners]
    return {int(each["port"]) for each in given if "port" in each} - {0}


# -- one word each ---------------------------------------------------------------------------------


def _side(side: str) -> None:
    if side not in SIDES:
        raise ValueError(f"{shown(side)} is not {' or '.join(map(shown, SIDES))}")


def _method(method: str, side: str) -> None:
    if not TOKEN.fullmatch(method):
        raise ValueError(f'{shown(method)} is not a method such as "GET"')
    if method == "CONNECT" and side == "reverse":
        raise ValueError("the reverse proxy knows no CONNECT")


def _target(url: str, method: str, side: str, ports: Collection[int]) -> Target:
    text = url.partition("#")[0].encode("utf-8", "replace")  # a fragment stays with the client
    place = method == "CONNECT" and "://" not in url
    target = uri.tunnel(text) if place else uri.absolute(text)
    if isinstance(target, Problem):
        expected = '"example.org:443"' if place else 'a URL such as "http://example.org/"'
        why = target.details.get("why", target.text)
        raise ValueError(f"{shown(url)} is not {expected}: {why}")
    if method == "CONNECT" and target.scheme:
        return Target("", target.host, target.port, "", None, b"")
    return target.on_default_port() if side == "reverse" and target.port in ports else target


def _client(text: str) -> str:
    return _address(text) if text else ""


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f'{shown(text)} is not an address such as "192.0.2.1"') from None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _line(name: str, value: str) -> tuple[bytes, bytes]:
    if not TOKEN.fullmatch(name):
        raise ValueError(f'{shown(name)} is not a field\'s name such as "User-Agent"')
    if _CONTROL.search(value):
        raise ValueError(f"the value of {name} has a control character in it")
    return name.encode(), value.strip().encode("utf-8", "replace")


def _moment(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f'{shown(text)} is not a time such as "2026-03-01T09:30"') from None
