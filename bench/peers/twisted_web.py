"""twisted.web.proxy's reverse proxy, as its documentation's example runs it."""

from __future__ import annotations

import sys

from bench.machine import Command
from bench.peers import Peer, Place
from bench.text import Text

PROGRAM = Text("""
from twisted.internet import reactor
from twisted.web import proxy, server

site = server.Site(proxy.ReverseProxyResource("127.0.0.1", @origin, b""))
reactor.listenTCP(@http, site, interface="127.0.0.1")
reactor.run()
""")


def _run(place: Place) -> list[Command]:
    return [Command([sys.executable, place.write("web.py", PROGRAM.substitute(place.names))])]


_VERSION = (sys.executable, "-c", "import twisted; print(twisted.__version__)")
PEERS = (Peer("twisted.web.proxy", _run, ("http",), _VERSION),)
