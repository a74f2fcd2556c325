"""Lists as tests write them, and what they are asked."""

from __future__ import annotations

from io import BytesIO

from attrs import frozen

from twistproxy.http.message import Request, Response
from twistproxy.http.uri import Target, absolute, tunnel
from twistproxy.policy import Lookup
from twistproxy.policy.lists.formats import FORMATS
from twistproxy.policy.lists.reading import Contents, read
from twistproxy.policy.lists.table import Table, write


@frozen
class Asked:
    """A question about a target; all else is as of nobody."""

    target: Target
    addresses: tuple[str, ...] | None = None
    method: str = "GET"
    client: str = "192.0.2.1"
    request: Request | None = None
    user: str | None = None
    groups: frozenset[str] = frozenset()
    at: float = 0.0
    response: Response | None = None


def asked(target: str, addresses: tuple[str, ...] | None = None) -> Asked:
    """target: a URL, or ``host:port`` for a tunnel."""
    raw = target.encode()
    found = absolute(raw) if "://" in target else tunnel(raw)
    assert isinstance(found, Target), found
    return Asked(found, addresses)


def contents(form: str, text: str | bytes) -> tuple[list[str], Contents]:
    raw = text if isinstance(text, bytes) else text.encode()
    return read(BytesIO(raw), FORMATS[form], 1 << 30)


def lookup(form: str, text: str | bytes) -> Lookup:
    """A list in this format."""
    out = BytesIO()
    write(out, FORMATS[form].kept(contents(form, text)[0]))
    return FORMATS[form].opened(Table(out.getvalue()))
