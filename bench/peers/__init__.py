"""How each proxy is run: one file each, ending in its PEERS.

"NAME" is the proxy as its users install it: the distribution's or project's own defaults, with no
more than what makes it this proxy. "NAME tuned" has on what twistproxy has on: an access log of
JSON lines, buffered where the program can, the fields that tell who asked, and connections to the
origin that are kept. A peer serves one or more DOORS, each on a port of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from bench.machine import Command

#: http, tls: a reverse proxy. forward: a proxy that is asked for whole URLs, or by CONNECT.
#: relay: the origin's bytes, whatever they are.
DOORS: Final = ("http", "tls", "forward", "relay")


@dataclass(frozen=True)
class Place:
    """Where one is to run: its own folder and ports, the origin's port, a certificate."""

    folder: Path
    ports: Mapping[str, int]
    origin: int
    certificate: Path
    key: Path

    def write(self, name: str, text: str) -> str:
        """A file of its own; the path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    @property
    def names(self) -> dict[str, object]:
        """What configurations speak of: the doors' ports and the rest of this."""
        rest = {"certificate": self.certificate, "key": self.key}
        return {**self.ports, "folder": self.folder, "origin": self.origin, **rest}


@dataclass(frozen=True)
class Peer:
    """commands: what to start, the proxy first; raises Missing. version: prints one."""

    name: str
    commands: Callable[[Place], Sequence[Command]]
    doors: Sequence[str]
    version: Sequence[str]


_FILES = (
    "twistproxy",
    "nginx",
    "haproxy",
    "squid",
    "varnish",
    "mitmproxy",
    "proxy_py",
    "twisted_web",
    "blind_relay",
)


def peers() -> dict[str, Peer]:
    """All there are, by name."""
    files = (import_module(f"bench.peers.{name}") for name in _FILES)
    return {peer.name: peer for file in files for peer in file.PEERS}
