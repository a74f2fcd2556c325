"""mitmproxy as a forward proxy that shows nothing, from a virtual environment of its own."""

from __future__ import annotations

from bench.machine import CHECKOUT, Command, program
from bench.peers import Peer, Place

PROGRAM = str(CHECKOUT / ".venv-bench/bin/mitmdump")


def _run(place: Place) -> list[Command]:
    arguments = [program(PROGRAM), "--quiet", "--mode", "regular", "--listen-host", "127.0.0.1"]
    arguments += ["--listen-port", str(place.ports["forward"])]
    return [Command([*arguments, "--set", f"confdir={place.folder}"])]


PEERS = (Peer("mitmproxy", _run, ("forward",), (PROGRAM, "--version")),)
