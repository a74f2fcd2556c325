"""twistproxy, everything on as by default, in the environment that its systemd unit gives it.

It is the compiled one where that was built (make compiled), the "pure" one is Python all through.
The limits are raised: all clients of a benchmark have one address. "on disk" has a cache there,
"watched" also writes how long each garbage collection took.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench.machine import CHECKOUT, HERE, Command
from bench.peers import Peer, Place
from bench.text import Text

CONFIG = Text("""
[forward]
listen = ["tcp:@forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
connect_ports = "any"

[reverse]
listen = ["tcp:@http:interface=127.0.0.1"]
tls_listen = ["tcp:@tls:interface=127.0.0.1"]

[[reverse.route]]
pool = "origin"

[[reverse.tls]]
hosts = ["localhost"]
cert = "@certificate"
key = "@key"

[pools.origin]
servers = ["http://127.0.0.1:@origin"]

[timeouts]
head = "60s"
drain = "100ms"

[limits]
per_client = 20000

[cache]
memory = "2GiB"

[log]
access = { file = "access.log", format = "json" }
""")
UNIT = (CHECKOUT / "etc/twistproxy.service").read_text()
ENVIRONMENT = dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT, re.MULTILINE))
TWISTD = str(Path(sys.executable).with_name("twistd"))
#: Where the watched one writes its collections.
PAUSES = "pauses"


COMPILED = CHECKOUT / "var/compiled"


def _run(place: Place, *program: str, pure: bool = False, more: str = "") -> list[Command]:
    config = place.write("twistproxy.toml", CONFIG.substitute(place.names) + more)
    arguments = [*program, "-n", "--pidfile=", "twistproxy", "--config", config]
    compiled = {} if pure or not COMPILED.exists() else {"PYTHONPATH": str(COMPILED)}
    return [Command(arguments, ENVIRONMENT | compiled)]


def _plain(place: Place) -> list[Command]:
    return _run(place, TWISTD)


def _pure(place: Place) -> list[Command]:
    return _run(place, TWISTD, pure=True)


def _on_disk(place: Place) -> list[Command]:
    return _run(place, TWISTD, more='[cache.disk]\npath = "cache"\n')


def _watched(place: Place) -> list[Command]:
    return _run(place, sys.executable, str(HERE / "pauses.py"), str(place.folder / PAUSES))


_VERSION = (sys.executable, "-m", "twistproxy.cli", "version")
PEERS = (
    Peer("twistproxy", _plain, ("http", "tls", "forward"), _VERSION),
    Peer("twistproxy pure", _pure, ("http", "tls", "forward"), _VERSION),
    Peer("twistproxy on disk", _on_disk, ("http", "tls", "forward"), _VERSION),
    Peer("twistproxy watched", _watched, ("http", "tls", "forward"), _VERSION),
)
