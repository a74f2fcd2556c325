"""proxy.py with one process that accepts and one that works, from an environment of its own."""

from __future__ import annotations

from bench.machine import CHECKOUT, Command, program
from bench.peers import Peer, Place

PROGRAM = str(CHECKOUT / ".venv-bench/bin/proxy")


def _run(place: Place) -> list[Command]:
    arguments = [program(PROGRAM), "--hostname", "127.0.0.1", "--port", str(place.ports["forward"])]
    arguments += ["--num-workers", "1", "--num-acceptors", "1", "--threadless"]
    return [Command([*arguments, "--data-dir", str(place.folder)])]


PEERS = (Peer("proxy.py", _run, ("forward",), (PROGRAM, "--version")),)
