"""The operator's own pages: HTML with placeholders, ``${status}``.

A placeholder's value is escaped for text and for quoted values of attributes. Where that would not
do (in scripts, styles, bare or event attributes), a placeholder is an error of the page. ``$${``
stands for ``${``; any other ``$`` for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from html import escape
from html.parser import HTMLParser
from typing import Final, NamedTuple

from attrs import frozen

from twistproxy.http.negotiation import best_language

#: What can stand in a page, and what it says there; "" where there is nothing to say.
PLACEHOLDERS: Final[Mapping[str, str]] = {
    "status": "The status: ``403``.",
    "title": "What that is called, in the page's language: ``Forbidden``.",
    "text": "What happened, in one or two sentences.",
    "error": "The kind of error (RFC 9209): ``http_request_denied``.",
    "rule": "The rule that decided; not behind a cloak.",
    "request_id": "What the log calls the request.",
    "proxy": "What this proxy calls itself; not behind a cloak.",
    "url": "What was asked for; of a tunnel its host and port.",
    "host": "The host of that.",
    "client": "The address of whoever asked.",
    "user": "Their name, if they gave one.",
    "location": "Where a redirect leads.",
    "retry_after": "The seconds after which asking again may help.",
    "wait": "The same for a person: ``5 minutes``.",
}

_PLACEHOLDER = re.compile(r"(?<!\$)\$\{([^}\n]*)(\}?)")
_ESCAPED = "$${"
_PAGES = re.compile(r"(?P<name>.+?)(?:\.(?P<language>[a-z]{2,3}(?:-[a-z0-9]{2,8})*))?\.html", re.I)
_STATUS = re.compile(r"[345](?:[0-9]{2}|xx)")
_LANGUAGE = re.compile(r"<html\b[^>]*?\slang\s*=\s*[\"']?([A-Za-z0-9-]+)", re.I)


class Mistake(NamedTuple):
    """What is wrong with a page. line: from 1."""

    line: int
    message: str


@frozen
class Template:
    """A page. language: its tag in lower case, "" if it doesn't say. parts: text and names of
    placeholders, in turn."""

    language: str
    parts: tuple[str, ...]

    def fill(self, values: Mapping[str, str]) -> bytes:
        """The page of one exchange. values: by placeholder; a missing one is ""."""
        filled = list(self.parts)
        for place in range(1, len(filled), 2):
            filled[place] = escape(values.get(filled[place], ""))
        return "".join(filled).encode("utf-8", "replace")


def read(text: str, language: str = "") -> Template | list[Mistake]:
    """The page that a file holds, or all that is wrong with it.

    language: of which the file's name says that it is; else the page's own ``<html lang>`` counts.
    """
    mistakes = []
    parts = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        parts += [text[end : found.start()].replace(_ESCAPED, "${"), found[1]]
        end = found.end()
        message = _misnamed(found[1]) if found[2] else "${ without its }"
        if message:
            mistakes.append(Mistake(text.count("\n", 0, found.start()) + 1, message))
    parts.append(text[end:].replace(_ESCAPED, "${"))
    mistakes += _misplaced(text)
    if mistakes:
        return sorted(mistakes)
    own = _LANGUAGE.search(text)
    return Template(language or (own[1].lower() if own else ""), tuple(parts))


class OwnPages:
    """The operator's pages, by name and language; what is not there is told by ours.

    named: ``403``, ``4xx`` or what a rule calls it; of each the page by the language that the name
    of its file says, "" for none.
    """

    def __init__(self, named: Mapping[str, Mapping[str, Template]]) -> None:
        self._named = named

    def choose(
        self, status: int, page: str | None, accept_language: bytes | None
    ) -> Template | None:
        """The most specific that there is in a language of the client's, or without a language.

        page: what the rule calls it, which comes before those of the status.
        """
        if not self._named:
            return None
        for name in (page, f"{status}", f"{status // 100}xx"):
            by_language = self._named.get(name) if name is not None else None
            if by_language is None:
                continue
            usual = by_language.get("")
            there = {} if usual is None else {usual.language: usual}
            there |= {language: page for language, page in by_language.items() if language}
            best = best_language(accept_language, list(there))
            if best is not None:
                return there[best]
            if usual is not None:
                return usual
        return None

    def __len__(self) -> int:
        return sum(map(len, self._named.values()))


def name_of(file: str) -> tuple[str, str] | None:
    """Name and language of a page by its file's: of ``403.de.html`` ``403`` and ``de``; None for
    what is no page."""
    found = _PAGES.fullmatch(file)
    return None if found is None else (found["name"], (found["language"] or "").lower())


def is_of_a_status(name: str) -> bool:
    """Whether it is ``403`` or ``4xx``."""
    return _STATUS.fullmatch(name) is not None


def _misnamed(name: str) -> str | None:
    if name in PLACEHOLDERS:
        return None
    near = get_close_matches(name, PLACEHOLDERS, n=1)
    known = f"did you mean ${{{near[0]}}}?" if near else f"known: {', '.join(PLACEHOLDERS)}"
    return f"no placeholder ${{{name}}}; {known}"


def _misplaced(text: str) -> Iterator[Mistake]:
    """Placeholders where escaping would not keep a value from being more than a value."""
    reader = _Places()
    reader.feed(text)
    reader.close()
    return iter(reader.mistakes)


#: RFC 3986 §3.1: these could begin with ``javascript:``, were their beginning somebody else's.
_OF_A_URL: Final = frozenset({"href", "src", "action", "formaction", "data"})
_URLS: Final = ("${url}", "${location}")
_ATTRIBUTE = re.compile(r"([^\s=>\"'/]+)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)")


class _Places(HTMLParser):
    """Looks at where the placeholders of a page are."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.mistakes: list[Mistake] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text = self.get_starttag_text() or ""
        for found in _ATTRIBUTE.finditer(text):
            name, value = found[1].lower(), found[2]
            if not _PLACEHOLDER.search(value):
                continue
            if value[0] not in "\"'":
                self._note(f"the value of {name} needs quotes around it")
            elif name.startswith("on") or name in ("style", "srcdoc"):
                self._note(f"no placeholder can be in {name}")
            elif name in _OF_A_URL:
                address = value[1:].lstrip()
                if address.startswith("${") and not address.startswith(_URLS):
                    self._note(f"{name} can begin with no placeholder but {' and '.join(_URLS)}")
        if _PLACEHOLDER.search(_ATTRIBUTE.sub("", text)):
            self._note(f"no placeholder can be an attribute of {tag}")

    def handle_data(self, data: str) -> None:
        element = self.cdata_elem
        found = _PLACEHOLDER.search(data) if element in ("script", "style") else None
        if found:
            self._note(f"no placeholder can be in {element} ($${{ writes ${{)", data, found.start())

    def _note(self, message: str, data: str = "", start: int = 0) -> None:
        line, _ = self.getpos()
        self.mistakes.append(Mistake(line + data.count("\n", 0, start), message))
