"""Why a request is answered as it is: the rules, and what the running process knows besides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred

from twistproxy.admin import CommandFailed, Proxy
from twistproxy.config.errors import did_you_mean

if TYPE_CHECKING:
    from twistproxy.policy.asking import Supposed
    from twistproxy.road import Generation

#: Words that may come again, and what `policy.explain` calls them.
MANY: Final = {"group": "groups", "header": "header", "address": "addresses"}
ONCE: Final = ("method", "client", "user", "time", "side")
#: Lines of what the cache tells.
_LINES: Final = 8


def explain(proxy: Proxy, words: Sequence[str]) -> str | Deferred[str]:
    """words: a URL, then ``client=10.1.2.3``, ``header=Accept:text/html`` and so on, of `ONCE` and
    `MANY`. Raises `CommandFailed`.
    """
    try:
        explained = proxy.policy.explain(words[0], **asked(words[1:]))
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    question, side = explained.question, explained.explanation.side
    lines = [repr(explained), *_ways(proxy.generation, question, side)]
    if question.method not in ("GET", "HEAD"):
        return "\n".join(lines)
    why = proxy.cache.why(question.target.url)
    if isinstance(why, Deferred):
        return why.addCallback(lambda found: "\n".join([*lines, *_cached(found)]))
    return "\n".join([*lines, *_cached(why)])


def asked(words: Sequence[str]) -> dict[str, Any]:
    """The words as `policy.explain` takes them. Raises `CommandFailed`."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in (*ONCE, *MANY):
            known = [*ONCE, *MANY]
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise CommandFailed(f"{word!r} is not one of NAME=VALUE{hint}")
        if name == "header":
            found.setdefault("header", []).append(field_of(value))
        elif name in MANY:
            found.setdefault(MANY[name], []).append(value)
        else:
            found[name] = value
    return found


def field_of(text: str) -> tuple[str, str]:
    """``Name: value``, whose space may be missing. Raises `CommandFailed`."""
    name, colon, value = text.partition(":")
    if not colon:
        raise CommandFailed(f"header: {text!r} is not NAME:VALUE")
    return name.strip(), value


def _ways(generation: Generation, question: Supposed, side: str) -> Iterator[str]:
    """Who would answer, and how they are."""
    target = question.target
    yield ""
    if side == "reverse":
        route = generation.routes.match(target)
        if route is None:
            yield "No route leads there."
        else:
            yield repr(generation.pools[route.pool])
        return
    if question.method != "CONNECT" and generation.routes.names(target.host):
        yield "A route names this host, so the rules of the reverse side are asked, too."
        return
    ways = generation.parents.ways(target.host)
    for server in ways.parents:
        yield f"It leaves through {server.url}, which is {'up' if server.up else 'down'}."
    if ways.direct:
        yield "It leaves directly." if not ways.parents else "Else it leaves directly."


def _cached(why: object) -> Iterator[str]:
    yield ""
    lines = repr(why).splitlines()
    yield from lines[:_LINES]
    if len(lines) > _LINES:
        yield "… `why` tells the rest."
