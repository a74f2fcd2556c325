"""HAProxy, as a reverse proxy and as a relay of bytes; one thread, as there is one core.

As installed: Debian's haproxy.cfg, whose log goes to a syslog that nobody here listens to. The
relay has ``splice-auto``, which is what its users turn on; tuned, ``splice-response`` and our
size of pipe.
"""

from __future__ import annotations

from bench.machine import Command, program
from bench.peers import Peer, Place
from bench.text import Text

CONFIG = Text("""
global
  @global
defaults
  mode http
  option dontlognull
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  @defaults
frontend web
  bind 127.0.0.1:@http backlog 16384
  @frontend
  default_backend origin
backend origin
  @backend
  server one 127.0.0.1:@origin
listen bytes
  mode tcp
  @relay
  bind 127.0.0.1:@relay_port
  server one 127.0.0.1:@origin
""")
AS_INSTALLED = {
    "global": "log /dev/log local0",
    "defaults": "log global\n  option httplog",
    "frontend": "",
    "backend": "",
    "relay": "option tcplog\n  option splice-auto",
}
LINES = (
    '{"time":"%t","client":"%ci","method":"%HM","uri":"%HU","status":%ST,"bytes":%B,"ms":%Ta,'
    '"server":"%s","server_ms":%Tr}'
)
TUNED = {
    # To standard output, which is a file; HAProxy can't buffer it.
    "global": """log stdout format raw local0
  tune.pipesize 1048576
  # As many as the rows with 10,000 ask for, where its own reckoning stops short of it.
  no strict-limits
  maxconn 12000""",
    "defaults": "log global",
    "frontend": f"""log-format '{LINES}'
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header Via "1.1 haproxy\"""",
    "backend": "http-reuse always",
    "relay": "option tcplog\n  option splice-response",
}


def _run(place: Place, choices: dict[str, str]) -> list[Command]:
    haproxy = program("haproxy")
    names = {**place.names, "relay_port": place.ports["relay"]}
    config = place.write("haproxy.cfg", CONFIG.substitute({**names, **choices}))
    return [Command([haproxy, "-db", "-f", config])]


def _as_installed(place: Place) -> list[Command]:
    return _run(place, AS_INSTALLED)


def _tuned(place: Place) -> list[Command]:
    return _run(place, TUNED)


PEERS = (
    Peer("HAProxy", _as_installed, ("http", "relay"), ("haproxy", "-v")),
    Peer("HAProxy tuned", _tuned, ("http", "relay"), ("haproxy", "-v")),
)
