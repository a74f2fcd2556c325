"""Names that a configuration may hold one day, and that this version does not know.

They are told from spelling mistakes: ``… is not in this version``. Whoever builds one of them
takes it out here.
"""

from __future__ import annotations

from twistproxy.config.model import (
    Config,
    Forward,
    Parent,
    Rule,
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Keys, by the table they stand in.
KEYS: dict[type, frozenset[str]] = {
    Config: _names("resolver"),
    Forward: _names("socks socks_ports users tokens source pac"),
    Parent: _names("ports users check resolve sticky"),
    Rule: _names("source"),
}

#: Schemes of a parent's url.
PARENT_SCHEMES = _names("https socks4 socks4a socks5")


def is_not_in_this_version(name: str) -> str:
    return f'"{name}" is not in this version'
