"""Commands for what waits for an operator (`policy.parked`): see it, answer it, take that back."""

from __future__ import annotations

from collections.abc import Sequence

from twistproxy.admin import CommandFailed, Proxy
from twistproxy.policy.answers import Full
from twistproxy.policy.parked import WORDS, NotAsked


def asks(proxy: Proxy, *_: object) -> str:
    """What waits."""
    return repr(proxy.asks)


def answers(proxy: Proxy, *_: object) -> str:
    """What stands."""
    return repr(proxy.asks.answers)


def answer(proxy: Proxy, arguments: Sequence[str], *_: object) -> str:
    number, word = _number(arguments[0]), arguments[1]
    if word not in WORDS:
        raise CommandFailed(f"{word!r} is no answer; there are: {', '.join(WORDS)}")
    try:
        count = proxy.asks.answer(number, word)
    except (NotAsked, Full) as error:
        raise CommandFailed(str(error)) from None
    return f"{word} to {count} that {'waits' if count == 1 else 'wait'}"


def forget(proxy: Proxy, arguments: Sequence[str], *_: object) -> str:
    try:
        standing = proxy.asks.forget(_number(arguments[0]))
    except NotAsked as error:
        raise CommandFailed(str(error)) from None
    access = standing.access
    return f"no longer {standing.word}: {access.who} → {access.where} ({access.rule})"


def _number(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 19):
        raise CommandFailed(f"{word!r} is not a number")
    return int(word)
