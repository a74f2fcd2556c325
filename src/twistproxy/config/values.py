"""Kinds of values: how each is written, and what it becomes.

A size is ``"64KiB"``, a duration ``"5s"``, a network in CIDR. :func:`kinds` is the table that
structures a file and that the reference prints.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import re2  # type: ignore[import-untyped]
from attrs import frozen

from twistproxy.config import endpoints, later, model
from twistproxy.config.errors import did_you_mean, shown

SIZES = {"B": 1} | {
    f"{prefix}{suffix}": base**power
    for suffix, base in (("iB", 1024), ("B", 1000))
    for power, prefix in enumerate("KMGT", start=1)
}
DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

LABEL = r"(?!-)[\w-]{1,63}(?<!-)"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")
URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<userinfo>[^/?#@\s]*)@)?"
    r"(?P<host>\[[^\]/?#@\s]*\]|[^/?#@:\[\]\s]*)(?::(?P<port>[0-9]*))?"
    r"(?P<rest>[/?#].*)?",
    re.DOTALL,
)
UNIX_URL = re.compile(r"unix://(?:[^/?#@\s]*@)?/[^?#\s\0]+(?:\?db=[0-9]{1,5})?", re.IGNORECASE)
DATABASE = re.compile(r"(?:/[0-9]{0,5})?")
REDIS_EXAMPLES = {
    "redis": "redis://user:secret@127.0.0.1:6379/0",
    "rediss": "rediss://user:secret@redis.example:6379/0",
    "unix": "unix:///run/redis/redis.sock?db=0",
}
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 §5.6.2


@frozen
class Kind:
    """``text`` completes "… is not". ``read`` raises a ValueError, whose message, if it has one,
    stands for that sentence."""

    text: str
    read: Callable[[Any], Any]

    def structure(self, value: object, _: object = None) -> Any:
        try:
            return self.read(value)
        except ValueError as error:
            raise ValueError(str(error) or f"{shown(value)} is not {self.text}") from None


def kinds(folder: Path) -> Mapping[Any, Kind]:
    """Every type of the model that is written as one value. ``folder``: where paths start."""

    def path(value: object) -> Path:
        text = string(value)
        if not text or "\0" in text:
            raise ValueError
        return folder / text

    def readable(value: object) -> Path:
        found = path(value)
        if not os.path.isfile(found):
            raise ValueError(f"there is no file {shown(str(found))}")
        if not os.access(found, os.R_OK):
            raise ValueError(f"{shown(str(found))} may not be read by this user")
        return found

    def output(value: object) -> str:
        if value == "-":
            return "-"
        found = path(value)
        if not os.path.isdir(found.parent):
            raise ValueError(f"there is no folder {shown(str(found.parent))}")
        if os.path.isdir(found):
            raise ValueError(f"{shown(str(found))} is a folder")
        if not os.access(found if os.path.exists(found) else found.parent, os.W_OK):
            raise ValueError(f"{shown(str(found))} may not be written by this user")
        return str(found)

    def endpoint(value: object) -> str:
        return endpoints.absolute(string(value), folder)

    return {
        str: Kind("a string", string),
        int: Kind("a whole number", whole),
        bool: Kind("true or false", boolean),
        Path: Kind("a path", path),
        model.Size: Kind('a size such as "64KiB", "1GB" or 65536', size),
        model.PositiveSize: Kind('a size such as "64KiB", "1GB" or 65536', positive(size)),
        model.Duration: Kind('a duration such as "500ms", "5s" or "2m"', duration),
        model.PositiveDuration: Kind(
            'a duration such as "500ms", "5s" or "2m"', positive(duration)
        ),
        model.Count: Kind("a whole number of 1 or more", whole_from(1)),
        model.Retries: Kind("a whole number of 0 or more", whole_from(0)),
        model.Port: Kind("a port from 1 to 65535", whole_from(1, 65535)),
        model.Network: Kind('a network such as "10.1.0.0/16" or "::1/128"', network),
        model.Endpoint: Kind('a listener such as "tcp:3128:interface=127.0.0.1"', endpoint),
        model.Pattern: Kind("an RE2 pattern", pattern),
        model.Name: Kind("a name of printable ASCII characters", name),
        model.Method: Kind('a method such as "GET"', method),
        model.FieldName: Kind('a field\'s name such as "Cache-Tag"', method),
        model.RequestRate: Kind('a rate such as "5/s", "100/m" or "1000/h"', rate),
        model.ByteRate: Kind('bytes a second such as "1MiB/s" or "500KB/s"', byte_rate),
        model.By: Kind('"client", "user", "host" or "header:NAME"', by),
        model.TimeZone: Kind('a time zone such as "Europe/Stockholm"', time_zone),
        model.Bound: Kind('a length such as ">10MiB", "<=64KiB" or "1MB"', bound),
        model.FieldValue: Kind("a field's value: visible ASCII, inner spaces", field_value),
        model.Host: Kind('a host such as "example.org"', host),
        model.HostPattern: Kind(
            'a host such as "example.org", ".example.org" or "*.example.org"', host_pattern
        ),
        model.UrlPath: Kind('a path such as "/api/"', url_path),
        model.ServerUrl: Kind('a url such as "http://127.0.0.1:9000"', server_url),
        model.ParentUrl: Kind('a url such as "http://proxy.example:3128"', parent_url),
        model.RedisUrl: Kind('a url such as "redis://127.0.0.1:6379/0"', redis_url),
        model.ListUrl: Kind('a url such as "https://lists.example/ads.txt"', list_url),
        model.Location: Kind('a url such as "https://example.org/why"', location),
        model.Output: Kind('a path, or "-" for standard output', output),
        model.ReadableFile: Kind("the path of a file that is there", readable),
    }


def string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    return value


def whole_from(least: int, most: int | None = None) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = whole(value)
        if number < least or (most is not None and number > most):
            raise ValueError
        return number

    return read


def positive(read: Callable[[object], float]) -> Callable[[object], float]:
    def read_positive(value: object) -> float:
        amount = read(value)
        if not amount:
            raise ValueError(f"{shown(value)} is too small; it must be more than 0")
        return amount

    return read_positive


def size(value: object) -> int:
    """Bytes: a whole number, or a number with B, KiB, MiB, GiB, TiB (1024) or KB… (1000)."""
    if isinstance(value, str):
        if re.fullmatch(r"[0-9]{1,18}", value):
            return int(value)
        return round(_amount(value, SIZES))
    return whole_from(0)(value)


def duration(value: object) -> float:
    """Seconds: a number with ms, s, m, h or d; 0 needs no unit."""
    if value in ("0", 0) and not isinstance(value, bool):
        return 0.0
    if isinstance(value, (str, int, float)) and re.fullmatch(r"[0-9.]+", str(value)):
        raise ValueError(f'{shown(value)} has no unit; did you mean "{value}s"?')
    return _amount(string(value), DURATIONS)


def _amount(text: str, units: Mapping[str, float]) -> float:
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([A-Za-z]+)", text)
    if not found or found[2] not in units:
        raise ValueError
    return float(found[1]) * units[found[2]]


def network(value: object) -> model.Network:
    text = string(value)
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        whole_network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError from None
    raise ValueError(
        f'{shown(text)} is an address within a network; did you mean "{whole_network}"?'
    )


def pattern(value: object) -> str:
    text = string(value)
    options = re2.Options()
    options.log_errors = False  # it would print them
    try:
        re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0]
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        raise ValueError(f"{shown(text)} is not an RE2 pattern: {reason}") from None
    except UnicodeError:
        raise ValueError from None
    return text


def name(value: object) -> str:
    """It is printed in logs and in fields (Proxy-Status), where other characters need care."""
    text = string(value)
    if not re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", text):
        raise ValueError
    return text


def method(value: object) -> str:
    text = string(value)
    if not TOKEN.fullmatch(text):
        raise ValueError
    return text


def bound(value: object) -> str:
    """A size, what is compared with it before it; as written."""
    text = str(size(value)) if isinstance(value, int) else string(value)
    size(re.sub("^(>=|>|<=|<) *", "", text))
    return text


def rate(value: object) -> model.RequestRate:
    text = string(value)
    found = re.fullmatch(r"([0-9]{1,9})/(s|m|h|d)", text)
    if not found or not int(found[1]):
        nearly = re.fullmatch(r"\s*([1-9][0-9]{0,8})\s*(?:(?:/|per)\s*([smhd])[a-z]*)?\s*", text)
        if nearly:
            meant = shown(f"{nearly[1]}/{nearly[2] or 's'}")
            raise ValueError(f"{shown(text)} is not a rate; did you mean {meant}?")
        raise ValueError
    return model.RequestRate(int(found[1]), DURATIONS[found[2]])


def byte_rate(value: object) -> float:
    amount, slash, second = string(value).rpartition("/")
    if not slash or second != "s":
        raise ValueError
    return float(positive(size)(amount))


def by(value: object) -> str:
    text = string(value)
    kind, _, header = text.partition(":")
    if text not in ("client", "user", "host") and not (
        kind == "header" and TOKEN.fullmatch(header)
    ):
        raise ValueError
    return text


def time_zone(value: object) -> str:
    text = string(value)
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        hint = did_you_mean(text, available_timezones())
        raise ValueError(f"there is no time zone {shown(text)}{hint}") from None
    return text


def field_value(value: object) -> str:
    """RFC 9110 §5.5, without what has long been obsolete."""
    text = string(value)
    if not re.fullmatch(r"(?:[!-~](?:[ -~]*[!-~])?)?", text):
        raise ValueError
    return text


def host(value: object) -> str:
    """A name or an address; IPv6 with or without brackets."""
    text = string(value)
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare or re.fullmatch(r"[0-9.]+", text):
        try:
            ip_address(bare)
        except ValueError:
            raise ValueError from None  # without ipaddress' words
    elif len(text) > 254 or not NAME.fullmatch(text):
        raise ValueError
    return text


def host_pattern(value: object) -> str:
    text = string(value)
    bare = text.removeprefix("*").removeprefix(".") if text.startswith(("*.", ".")) else text
    host(bare)
    return text


def url_path(value: object) -> str:
    text = string(value)
    if not re.fullmatch(r"/[^\s?#]*", text):
        raise ValueError
    return text


def server_url(value: object) -> str:
    text = string(value)
    if "@" in text:  # what may be a secret is not shown
        raise ValueError("a server's url can't hold credentials")
    found = _url(text)
    scheme, rest = found["scheme"].lower(), found["rest"]
    if scheme not in {"http", "https"}:
        raise ValueError(f"{scheme}:// is not a server's scheme; http:// and https:// are")
    base = scheme + text.removesuffix(rest or "")[len(scheme) :]
    if rest:
        raise ValueError(
            f"a server's url ends with its port; did you mean {shown(base)}?"
            " What to take off a path is the route's strip_prefix"
        )
    return base


def parent_url(value: object) -> str:
    """Its messages never show it: it may hold credentials."""
    try:
        found = _url(string(value))
    except ValueError:
        raise ValueError(
            'this is not a url such as "http://user:secret@proxy.example:3128"'
            " (@ and / in a secret are %40 and %2F)"
        ) from None
    scheme = found["scheme"].lower()
    if scheme in later.PARENT_SCHEMES:
        raise ValueError(later.is_not_in_this_version(f"{scheme}://"))
    if scheme != "http":
        raise ValueError("a parent's url begins with http://")
    if found["rest"]:
        raise ValueError("a parent's url ends with its port, without a / or more")
    return scheme + found[0][len(scheme) :]


def redis_url(value: object) -> str:
    """Its messages never show it: it may hold credentials."""
    text = string(value)
    scheme = text.partition("://")[0].lower()
    if scheme not in REDIS_EXAMPLES:
        raise ValueError("a Redis url begins with redis://, rediss:// or unix://")
    try:
        found = UNIX_URL.fullmatch(text) if scheme == "unix" else _url(text)
    except ValueError:
        found = None
    if not found or (scheme != "unix" and not DATABASE.fullmatch(found["rest"] or "")):
        raise ValueError(
            f"this is not a url such as {shown(REDIS_EXAMPLES[scheme])}"
            " (@ and / in a secret are %40 and %2F)"
        )
    return scheme + text[len(scheme) :]


def _url(text: str) -> re.Match[str]:
    found = URL.fullmatch(text)
    if not found:
        raise ValueError
    port = found["port"]
    if port is not None and not (port and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"{shown(port)} is not a port from 1 to 65535")
    try:
        host(found["host"])
    except ValueError:
        raise ValueError(f"{shown(found['host'])} is not a host") from None
    return found


def list_url(value: object) -> str:
    """Its messages never show it: it may hold credentials."""
    text = string(value)
    found = URL.fullmatch(text) if re.fullmatch(r"[!-~]+", text) else None
    if not found or not found["host"] or found["scheme"].lower() not in ("http", "https"):
        raise ValueError('this is not a url such as "https://lists.example/ads.txt"')
    return text


def location(value: object) -> str:
    """Absolute, or a path of the same host; what a field can hold (RFC 9110 §10.2.2)."""
    text = string(value)
    if not re.fullmatch(r"(?:https?://[!-~]+|/[!-~]*)", text):
        raise ValueError
    return text
