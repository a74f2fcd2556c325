"""The smallest allow-list that covers what was seen: hosts, ports and methods, by side.

Paths, users and clients stay out of it: they are what changes from one day to the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from ipaddress import ip_address
from itertools import count
from typing import Final

from attrs import define, field, frozen

from twistproxy.config import values
from twistproxy.policy import Question, Verdict
from twistproxy.policy.plan import DEFAULT

#: Things that are remembered; what comes then is counted.
KEPT: Final = 10_000
#: Hosts below one registrable name that stand for all of them.
SEVERAL: Final = 3
#: Characters of a line.
_WIDTH: Final = 96

#: A rule's hosts share it: side, ports, methods.
Shape = tuple[str, tuple[int, ...], tuple[str, ...]]


@frozen(order=True)
class Seen:
    """What an allow-list tells apart."""

    side: str
    host: str
    port: int
    method: str


@define
class Notebook:
    """A `Watcher`: what was allowed, or denied by no more than the default. Bounded.

    requests: all of them. refused: by rules, which go on doing so, or left to an operator.
    more: of things that it had no room for.
    """

    seen: set[Seen] = field(factory=set)
    requests: int = 0
    refused: int = 0
    more: int = 0

    def decided(self, question: Question, side: str, verdict: Verdict) -> None:
        self.requests += 1
        if verdict.action != "allow" and verdict.rule != DEFAULT:
            self.refused += 1
            return
        target = question.target
        one = Seen(side, target.host, target.port, question.method)
        if one in self.seen:
            return
        if len(self.seen) < KEPT:
            self.seen.add(one)
        else:
            self.more += 1


@frozen(repr=False)
class Learned:
    """What a time taught; its repr is TOML, to paste. seconds: how long that was."""

    seconds: float
    requests: int
    refused: int
    more: int
    rules: str

    def __repr__(self) -> str:
        lines = [f"# What was asked for in {self.seconds:.0f} s, in {self.requests} requests."]
        if self.refused:
            lines.append(f"# Left out: {self.refused} of them, which a rule refuses or asks about.")
        if self.more:
            lines.append(f"# Left out: {self.more} of them, for want of room.")
        if self.rules:
            lines.append('# To be pasted where [policy] has default = "deny".')
        return "\n".join([*lines, self.rules]) if self.rules else "\n".join(lines)


def allow_list(seen: Iterable[Seen], taken: Collection[str] = ()) -> str:
    """Rules that allow what was seen, as TOML; each time in the same order.

    Nothing else passes them, with two exceptions: where `SEVERAL` hosts below one registrable
    name were asked for alike, all below it pass, and where GET does, so does HEAD. taken: names
    that no rule is given. What no rule can name (a request without a host) is left out.
    """
    free = (name for n in count(1) if (name := f"learned-{n}") not in taken)
    return "\n".join(
        _rule(name, shape, hosts)
        for name, (shape, hosts) in zip(free, sorted(_rules(seen)), strict=False)
    )


def _rules(seen: Iterable[Seen]) -> Iterator[tuple[Shape, list[str]]]:
    """Each shape, and the patterns of hosts that have it."""
    methods: dict[tuple[str, str, int], set[str]] = {}
    for one in seen:
        if _can_be_written(one):
            known = methods.setdefault((one.side, one.host, one.port), set())
            known.update(("GET", "HEAD") if one.method == "GET" else (one.method,))
    ports: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    for (side, host, port), some in methods.items():
        ports.setdefault((side, host, tuple(sorted(some))), []).append(port)
    hosts: dict[Shape, list[str]] = {}
    for (side, host, alike), numbers in ports.items():
        hosts.setdefault((side, tuple(sorted(numbers)), alike), []).append(host)
    for shape, names in hosts.items():
        yield shape, sorted(_patterns(names), key=_as_read)


def _patterns(hosts: list[str]) -> Iterator[str]:
    """Patterns for these hosts: of several below one registrable name, that."""
    below: dict[str, list[str]] = {}
    for host in hosts:
        below.setdefault(_registrable()(host) or host, []).append(host)
    for name, those in below.items():
        if len(those) >= SEVERAL:
            yield f".{name}"
        else:
            yield from those


def _as_read(pattern: str) -> tuple[str, ...]:
    """Names from their end, so that what belongs together stands together."""
    return tuple(reversed(pattern.removeprefix(".").split(".")))


@cache
def _registrable() -> Callable[[str], str | None]:
    """A host's name below its public suffix; None of an address, or of a suffix itself."""
    from publicsuffixlist import PublicSuffixList  # a tenth of a second, for who learns

    private: Callable[[str], str | None] = PublicSuffixList().privatesuffix

    def registrable(host: str) -> str | None:
        try:
            ip_address(host)
        except ValueError:
            return private(host)
        return None

    return registrable


def _can_be_written(one: Seen) -> bool:
    try:
        values.host_pattern(one.host)
        values.method(one.method)
    except ValueError:
        return False
    return True


def _rule(name: str, shape: Shape, hosts: list[str]) -> str:
    side, ports, methods = shape
    return (
        f'\n[[policy.rule]]\nname = "{name}"\nside = "{side}"\nwhen.host = {_array(hosts)}\n'
        f'when.port = {_array(ports)}\nwhen.method = {_array(methods)}\naction = "allow"'
    )


def _array(elements: Iterable[object]) -> str:
    texts = [json.dumps(element) for element in elements]  # hosts and methods are ASCII
    line = f"[{', '.join(texts)}]"
    if len(line) <= _WIDTH:
        return line
    return "[\n" + "".join(f"    {text},\n" for text in texts) + "]"
