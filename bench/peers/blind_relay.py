"""The floor: a relay in C that looks at nothing, compiled for each run."""

from __future__ import annotations

from bench.machine import Command, compiled
from bench.peers import Peer, Place


def _run(place: Place) -> list[Command]:
    return [Command([compiled("blind_relay.c"), str(place.ports["http"]), str(place.origin)])]


PEERS = (Peer("blind relay", _run, ("http",), ("cc", "--version")),)
