"""RE2 patterns, searched in what a peer sent: linear in any input.

Peers choose their charset, and so could choose one in which a pattern misses: what isn't ASCII is
searched as UTF-8 and as ISO-8859-1. ``.`` matches every character, a line's end, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from twistproxy.config.errors import shown

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False  # it would write to stderr itself
_OPTIONS.dot_nl = True
_OPTIONS.never_capture = True

#: What the names of secrets have in them.
_SECRETS: Final = tuple(
    b"auth code cookie credential jwt key otp passw pwd secret sess signature token".split()
)

#: Patterns that must all be found, each in what has its name.
Table = tuple[tuple[bytes, Any], ...]


def compiled(pattern: str) -> Any:
    """The pattern; ValueError says why it is none."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as why:
        reason = why.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"no RE2 pattern: {text}") from None


def tables(
    values: Iterable[Mapping[str, str]], name_of: Callable[[str], bytes]
) -> tuple[Table, ...]:
    """``{ NAME = "a" }`` as it is asked. ValueError for an empty one, which would always hold."""
    found = []
    for patterns in values:
        if not patterns:
            raise ValueError("it names nothing")
        found.append(tuple((name_of(name), compiled(text)) for name, text in patterns.items()))
    return tuple(found)


def names_in(tables: Iterable[Table]) -> list[bytes]:
    """Each name once, in order."""
    return list(dict.fromkeys(name for table in tables for name, _ in table))


def is_in(pattern: Any, value: bytes) -> bool:
    """Whether the pattern is found, read either way."""
    if value.isascii():
        return pattern.search(value) is not None
    # Bytes that are no UTF-8 would match nothing, not even a dot.
    return (
        pattern.search(value.decode("utf-8", "replace").encode()) is not None
        or pattern.search(value.decode("latin-1").encode()) is not None
    )


def seen(name: bytes, values: Iterable[bytes]) -> str:
    """What has a name, for a person: ``x-team "build"``, or ``no x-team``; secrets stay unseen."""
    text = name.decode("utf-8", "replace")
    if not text.isprintable():
        text = shown(text)
    found = [shown(value.decode("utf-8", "replace")) for value in values]
    if not found:
        return f"no {text}"
    return f"{text} (not shown)" if is_secret(name) else f"{text} {', '.join(found)}"


def is_secret(name: bytes) -> bool:
    """Whether it sounds like one's name."""
    lower = name.lower()
    return any(word in lower for word in _SECRETS)
