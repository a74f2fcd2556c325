"""Where to listen, as Twisted's server endpoint strings: ``tcp:``, ``unix:``, ``systemd:``.

Twisted parses them when it listens, and then says ``missing 1 required positional argument``;
here they are judged beforehand, with words for whoever wrote them. What passes here, Twisted
takes (tests hold that). Grammar: ``KIND:VALUE:NAME=VALUE``, a colon in a value is ``\\:``.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

from twistproxy.config.errors import did_you_mean, shown

#: The parameters of each kind, in the order in which they can go unnamed.
PARAMETERS = {
    "tcp": ("port", "interface", "backlog"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "systemd": ("domain", "index", "name"),
}
NUMBERS = {
    "backlog": (r"[1-9][0-9]{0,8}", "a number of connections"),
    "mode": (r"[0-7]{3,4}", "an octal mode such as 660"),
    "lockfile": (r"[01]", "0 or 1"),
    "index": (r"[0-9]{1,4}", "a number"),
}
PART = re.compile(r"((?:[^:\\]|\\.)*)(:|\Z)", re.DOTALL)


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Kind and parameters. Raises ValueError with the reason."""
    kind, *rest = _split(text)
    if kind not in PARAMETERS:
        if kind in {"ssl", "tls"}:
            raise ValueError("TLS is for the listeners of reverse.tls_listen, which are tcp: too")
        raise ValueError(
            f"{shown(text)} is not a listener such as"
            ' "tcp:3128:interface=127.0.0.1", "unix:/run/proxy.sock" or "systemd:INET:name=proxy"'
        )
    given = _parameters(kind, rest)
    match kind:
        case "tcp":
            _check_tcp(given)
        case "unix":
            if not given.get("address") or "\0" in given["address"]:
                raise ValueError("a unix listener needs a path: unix:/run/proxy.sock")
        case "systemd":
            if given.get("domain") not in {"INET", "INET6", "UNIX"}:
                raise ValueError("a systemd listener begins systemd:INET, INET6 or UNIX")
            if ("index" in given) == ("name" in given):
                raise ValueError("a systemd listener has either name=… or index=…")
    for name, (pattern, meaning) in NUMBERS.items():
        if name in given and not re.fullmatch(pattern, given[name]):
            raise ValueError(f"{name}={given[name]} is not {meaning}")
    return kind, given


def is_loopback(text: str) -> bool:
    """Whether only this machine can reach it: a unix socket, or an interface of 127.0.0.0/8, ::1.

    Not known of a socket that systemd opens, so no. Raises ValueError as :func:`parse`.
    """
    kind, given = parse(text)
    if kind == "tcp":
        interface = given.get("interface", "")
        return bool(interface) and ip_address(interface).is_loopback
    return kind == "unix"


def absolute(text: str, folder: Path) -> str:
    """The same with a unix socket's path absolute, from ``folder``. Raises as :func:`parse`."""
    kind, given = parse(text)
    if kind != "unix":
        return text
    address = str(folder / given.pop("address")).replace("\\", "\\\\").replace(":", "\\:")
    return ":".join([kind, address, *(f"{name}={value}" for name, value in given.items())])


def _split(text: str) -> list[str]:
    parts = []
    for part in PART.finditer(text):
        parts.append(part[1])
        if not part[2]:
            break
    if len(":".join(parts)) != len(text):
        raise ValueError(f"{shown(text)} ends in the middle of an escape")
    return parts


def _parameters(kind: str, parts: list[str]) -> dict[str, str]:
    names = PARAMETERS[kind]
    given: dict[str, str] = {}
    named = False
    for position, part in enumerate(parts):
        name, equals, value = part.partition("=")
        if not equals:
            if named or position >= len(names):
                raise ValueError(
                    r"a colon within a value is written \:, as in 'tcp:3128:interface=\:\:1'"
                )
            name, value = names[position], part
        elif name not in names:
            raise ValueError(
                f"a {kind} listener has no {shown(name)}, only {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )
        named = named or bool(equals)
        if name in given:
            raise ValueError(f"{name} is there twice")
        given[name] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
    return given


def _check_tcp(given: dict[str, str]) -> None:
    port, interface = given.get("port", ""), given.get("interface", "")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{shown(port)} is not a port: 1 to 65535, or 0 for any free one")
    if interface:
        try:
            ip_address(interface)
        except ValueError:
            raise ValueError(
                f"{shown(interface)} is not the address of an interface, such as 127.0.0.1 or"
                r" \:\:1; without interface= it is every IPv4 address"
            ) from None
