"""What a `continue` rule changes: fields of the request and of the response, and the target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import re2  # type: ignore[import-untyped]
from attrs import frozen

from twistproxy.config.model import Rewrite, Rule
from twistproxy.http import uri
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields, Line, line
from twistproxy.http.uri import Target

#: Fields in which a client says who it is; the answer to who says so is for nobody else.
_CREDENTIALS: Final = ("authorization", "cookie", "token", "key", "secret", "session", "auth")
#: A piece of what is put in a match's place: text, or what follows a backslash.
_PARTS: Final = re.compile(r"([^\\]+|\\$)|\\(.)", re.DOTALL)
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


@frozen(eq=False)
class FieldEdits:
    """removed: names, lower case. set: in the place of what has the name. added: besides it."""

    removed: frozenset[bytes]
    set: tuple[Line, ...]
    added: tuple[Line, ...]

    def apply(self, fields: Fields) -> None:
        """To these fields, in this order."""
        if self.removed:
            fields.remove(*self.removed)
        for _, name, value, _ in self.set:
            fields.set(name, value)
        if self.added:
            fields.append(*self.added)


@frozen(eq=False)
class Rewriting:
    """Of the URL in normal form: what the pattern finds first becomes `to`, in which numbers
    stand for its groups, 0 for all."""

    pattern: Any
    to: tuple[str | int, ...]

    def applied(self, target: Target) -> Target | Problem | None:
        """The new target; None if it doesn't match. A tunnel has no URL."""
        found = self.pattern.search(target.url) if target.scheme else None
        if found is None:
            return None
        to = "".join(
            (found.group(part) or "") if isinstance(part, int) else part for part in self.to
        )
        url = f"{target.url[: found.start()]}{to}{target.url[found.end() :]}"
        return uri.absolute(url.encode("latin-1", "replace"))


@frozen(eq=False)
class Edits:
    """credentials: whether the request then has some that are not the client's own."""

    request: FieldEdits | None
    response: FieldEdits | None
    rewriting: Rewriting | None
    credentials: bool


def edits_of(rule: Rule) -> Edits | None:
    """What a rule changes; None if nothing. Raises ValueError for a rewriting that can't be."""
    request = _edits(rule.set_request, rule.add_request, rule.remove_request)
    response = _edits(rule.set_response, rule.add_response, rule.remove_response)
    rewriting = None if rule.rewrite is None else _rewriting(rule.rewrite)
    if request is None and response is None and rewriting is None:
        return None
    given = [*rule.set_request, *rule.add_request]
    credentials = any(word in name.lower() for name in given for word in _CREDENTIALS)
    return Edits(request, response, rewriting, credentials)


def _edits(
    set_: Mapping[str, str], added: Mapping[str, str], removed: tuple[str, ...]
) -> FieldEdits | None:
    if not (set_ or added or removed):
        return None
    return FieldEdits(
        frozenset(name.lower().encode() for name in removed), _lines(set_), _lines(added)
    )


def _lines(fields: Mapping[str, str]) -> tuple[Line, ...]:
    return tuple(line(name.encode(), value.encode("latin-1")) for name, value in fields.items())


def _rewriting(rewrite: Rewrite) -> Rewriting:
    pattern = re2.compile(rewrite.url, _OPTIONS)
    parts: list[str | int] = []
    for text, escaped in _PARTS.findall(rewrite.to):
        if escaped.isdecimal():
            if int(escaped) > pattern.groups:
                raise ValueError(f"the pattern has {pattern.groups} groups, not {escaped}")
            parts.append(int(escaped))
        else:
            parts.append(escaped or text)
    return Rewriting(pattern, tuple(parts))
