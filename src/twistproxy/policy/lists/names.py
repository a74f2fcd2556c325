"""Lists of names: hosts files, domains, domain rules in Adblock's syntax.

A name's key is its characters turned round, with a dot at the end: ``gro.elpmaxe.``. So a domain is
how all names below it begin, and no other's. (Labels turned round would read better, at five times
the cost.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from twistproxy.http.hosts import unmapped
from twistproxy.http.uri import host_pattern
from twistproxy.policy import Question
from twistproxy.policy.lists import Format, without_comment
from twistproxy.policy.lists.table import Table

# A name in normal form that is no address and has no A-label: what needs no further look.
_NAME: Final = r"(?![a-z0-9_.-]{254})((?:(?!xn--)[a-z0-9_-]{1,63}+\.)++[a-z]{2,63}+)"
_REST: Final = r"[ \t]*(?:#.*)?\r?"
# Names that hosts files give to their own machine.
_OWN: Final = re.compile(
    r"local|localhost|localhost\.localdomain|broadcasthost"
    r"|ip6-(?:localhost|loopback|localnet|mcastprefix|allnodes|allrouters|allhosts)",
    re.IGNORECASE,
)
#: Adblock's exceptions, in the same table: no name begins so.
_EXCEPT: Final = "@@"
_KEPT: Final = 1024
_RULE: Final = re.compile(r"(@@)?\|\|([^/^$*|]+)\^(?:\$(.*))?")
_COSMETIC: Final = re.compile(r"#[@?$%]*#|\$@?\$")
#: Options that leave a rule to be for the whole domain.
_WHOLE: Final = frozenset({"all", "important"})


class Names:
    """Remembers the hosts that were asked lately: clients ask for the same again and again."""

    def __init__(self, has: Callable[[str], bool]) -> None:
        self._has = lru_cache(_KEPT)(has)

    def has(self, question: Question) -> bool:
        return self._has(question.target.host)


def _of_hosts(table: Table) -> Names:
    """Each name alone."""
    begins = table.begins
    return Names(lambda host: begins(alone(unmapped(host))))


def _of_domains(table: Table) -> Names:
    """Each name and all below."""
    begins = table.begins
    # `turned`, written out: a call costs as much as what it does.
    return Names(lambda host: begins(f".{unmapped(host) if ':' in host else host}"[::-1]))


def _of_adblock(table: Table) -> Names:
    """Each name and all below, unless an exception has it."""
    begins = table.begins

    def has(host: str) -> bool:
        key = turned(unmapped(host))
        return begins(key) and not begins(_EXCEPT + key)

    return Names(has)


def turned(name: str) -> str:
    """``www.example.org`` → ``gro.elpmaxe.www.``."""
    return f".{name}"[::-1]


def alone(name: str) -> str:
    return f"{name}/"


def _exact(text: str) -> str:
    """A host in normal form. Raises ValueError."""
    if text.startswith((".", "*")):
        raise ValueError("it is a pattern")
    return unmapped(host_pattern(text))


def _hosts(line: str) -> Sequence[str] | None:
    """``ADDRESS NAME [NAME…] # comment``; a name by itself, too, as plain lists have them."""
    words = without_comment(line, "#").split()
    if not words:
        return None
    # A scope is no part of an address (fe80::1%lo0, as macOS has it).
    address = _exact(words[0].partition("%")[0])
    if len(words) == 1 and "." in address and not _is_address(address):
        return (alone(address),)
    if len(words) == 1 or not _is_address(address):
        raise ValueError("it is no address and its names")
    names = [_exact(word) for word in words[1:] if not _OWN.fullmatch(word)]
    return [alone(name) for name in names if not _is_address(name)]


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _domains(line: str) -> Sequence[str] | None:
    """A name; ``.`` or ``*.`` may stand before it."""
    text = without_comment(line, "#")
    if not text or text.startswith("!"):
        return None
    return (turned(_exact(text.removeprefix("*").removeprefix(".") or text)),)


def _adblock(line: str) -> Sequence[str] | None:
    """``||example.org^``, ``@@||ok.example^``; all other rules are not about domains."""
    text = line.strip()
    # [Adblock Plus 2.0]; "#" alone is a comment, "##" hides elements.
    if not text or text[0] in "![" or re.match(r"#(?![#@?$%])", text):
        return None
    rule = _RULE.fullmatch(text)
    if rule is None:
        if " " in text and not _COSMETIC.search(text) and text[0] not in "|@/$":
            raise ValueError("it is no rule")
        return ()
    exception, name, options = rule.groups()
    if options is not None and not _WHOLE.issuperset(options.lower().split(",")):
        return ()
    key = turned(_exact(name))
    return (_EXCEPT + key if exception else key,)


HOSTS: Final = Format(
    _hosts,
    _of_hosts,
    re.compile(rf"^(?:0\.0\.0\.0|127\.0\.0\.1|::1?)[ \t]+(?!localhost\.){_NAME}{_REST}$", re.M),
    alone,
)
DOMAINS: Final = Format(_domains, _of_domains, re.compile(rf"^{_NAME}{_REST}$", re.M), turned)
ADBLOCK: Final = Format(
    _adblock, _of_adblock, re.compile(rf"^\|\|{_NAME}\^[ \t]*\r?$", re.M), turned
)
