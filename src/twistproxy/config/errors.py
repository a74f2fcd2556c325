"""What is wrong with a file: where, what, and what would be right.

Each step of loading yields faults, which know their key but no line; ``load`` gives them one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches

from attrs import frozen

Where = tuple[str | int, ...]
"""The way to a value: ``("reverse", "route", 2, "pool")``; elements count from 0."""


@frozen
class Fault:
    where: Where
    message: str


@frozen
class ConfigError:
    """``FILE:LINE: KEY: MESSAGE``. Without line: the file can't be read; without key: no TOML."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(filter(None, (place, self.key, self.message)))


class ConfigErrors(Exception):
    """All errors of one file, in the order of its lines; as a string one a line."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__(*self.errors)

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def dotted(where: Where) -> str:
    """As people write it: ``reverse.route[2].pool``, ``pools."my api".servers``."""
    key = ""
    for step in where:
        if isinstance(step, int):
            key += f"[{step}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", step)
            key += "." * bool(key) + (step if bare else _quoted(step))
    return key


def shown(value: object) -> str:
    """A value as it is written in TOML, in one short line."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            text = _quoted(value)
        case bool():
            return "true" if value else "false"
        case _:
            text = str(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but json leaves some control characters as they are.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean "api"?``, or nothing when nothing is near."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {shown(near[0])}?" if near else ""
