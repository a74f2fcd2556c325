"""Varnish: /kept/ from memory, /fresh/ passed.

As installed it writes no access log; tuned, varnishncsa writes one and its CPU is counted.
"""

from __future__ import annotations

from bench.machine import Command, program
from bench.peers import Peer, Place
from bench.text import Text

VCL = Text("""
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@origin"; }
sub vcl_recv { if (req.url ~ "^/fresh/") { return (pass); } }
sub vcl_backend_response { if (bereq.url ~ "^/kept/") { set beresp.ttl = 1h; } }
""")
LINES = (
    '{"time":"%{%FT%T}t","client":"%h","method":"%m","uri":"%U%q","status":%s,"bytes":%b,'
    '"seconds":%{Varnish:time_firstbyte}x,"cache":"%{Varnish:handling}x","agent":"%{User-agent}i"}'
)


def _as_installed(place: Place) -> list[Command]:
    vcl = place.write("default.vcl", VCL.substitute(place.names))
    arguments = [program("varnishd"), "-F", "-j", "none", "-n", str(place.folder / "run")]
    arguments += ["-a", f"127.0.0.1:{place.ports['http']}", "-f", vcl, "-s", "malloc,256m"]
    return [Command(arguments)]


def _tuned(place: Place) -> list[Command]:
    log = [program("varnishncsa"), "-n", str(place.folder / "run"), "-t", "30"]
    log += ["-w", str(place.folder / "access.log"), "-F", LINES]
    return [*_as_installed(place), Command(log)]


PEERS = (
    Peer("Varnish", _as_installed, ("http",), ("varnishd", "-V")),
    Peer("Varnish tuned", _tuned, ("http",), ("varnishd", "-V")),
)
