"""What ``make run`` starts: both proxies with twistproxy.toml, an origin behind the reverse one.

The origin's page counts the requests that reach it and shows each as it came, so a cache hit
and the fields that a proxy adds can be seen. Prints what to try once the proxies answer.
Ends with the proxies, and ends them when it is ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from twistproxy.admin import client

HERE = Path(__file__).parent
KEY = Path("var/demo_key")
SOCKET = HERE / "var" / "admin.sock"
PORT = os.environ.get("DEMO_PORT", "9000")

TO_TRY = f"""
Both proxies run. In another terminal, from {Path.cwd()}:

  curl -i -H 'Host: demo.example' http://127.0.0.1:8080/       # the demo site by the reverse proxy
  curl -i -x http://127.0.0.1:3128 http://demo.example/        # by the forward proxy: a cache hit
  curl -i -x http://127.0.0.1:3128 http://blocked.example/     # refused by a rule
  ssh -i {KEY} -o StrictHostKeyChecking=accept-new \
-o UserKnownHostsFile=var/demo_known_hosts -p 2222 127.0.0.1 stats

Without "stats", ssh opens a console: type help there. ^C here ends it all.
"""


class Mirror(Resource):
    """Every path: which request this is, when it came, and its head."""

    isLeaf = True
    count = 0

    def render(self, request: Request) -> bytes:
        self.count += 1
        lines = [
            f"Request {self.count} to the demo origin, {time.strftime('%H:%M:%S')}, as it came:",
            "",
            f"{request.method.decode()} {request.uri.decode('latin-1')} HTTP/1.1",
        ]
        for name, values in request.requestHeaders.getAllRawHeaders():
            lines += [f"{name.decode()}: {value.decode('latin-1')}" for value in values]
        request.setHeader("Content-Type", "text/plain; charset=utf-8")
        fresh = request.path.startswith(b"/fresh")
        request.setHeader("Cache-Control", "no-store" if fresh else "max-age=60")
        return "\n".join(lines).encode() + b"\n"


class Proxies(ProcessProtocol):
    """The twistd child; its end is ours."""

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode or 0)


def make_key() -> None:
    """The demo's SSH key pair; its public half is the manhole's authorized_keys."""
    if KEY.exists():
        return
    KEY.parent.mkdir(exist_ok=True)
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(KEY)]
    try:
        subprocess.run(make, check=True)
    except FileNotFoundError:
        sys.exit("ssh-keygen is missing: apt-get install openssh-client")


async def tell_what_to_try(proxies: Proxies) -> None:
    """Once the proxies say so themselves: on their ports another program could answer."""
    while not proxies.ended.called:
        try:
            await client.ask(client.agent(reactor, SOCKET), "stats", patience=5.0)
        except client.NoAnswer:
            await task.deferLater(reactor, 0.1)
        else:
            print(TO_TRY, flush=True)
            return


async def main() -> None:
    make_key()
    if not PORT.isdecimal():
        sys.exit(f"DEMO_PORT={PORT} is not a port")
    try:
        reactor.listenTCP(int(PORT), Site(Mirror()), interface="127.0.0.1")
    except CannotListenError:
        sys.exit(f"Port {PORT} is taken; another for the demo origin: make run DEMO_PORT=9001")
    proxies = Proxies()
    twistd = str(Path(sys.executable).with_name("twistd"))
    arguments = [twistd, "--nodaemon", "--pidfile=", "twistproxy"]
    arguments += ["--config", str(HERE / "twistproxy.toml")]
    environment = {
        **os.environ,
        "DEMO_PORT": PORT,
        "TWISTPROXY_KEYS": str(KEY.with_suffix(".pub").absolute()),
    }
    child = reactor.spawnProcess(
        proxies, twistd, arguments, environment, childFDs={0: 0, 1: 1, 2: 2}
    )
    # ^C reaches the child by itself, as one of the terminal's foreground group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: proxies.ended.called or child.signalProcess("TERM")
    )
    await tell_what_to_try(proxies)
    sys.exit(await proxies.ended)


if __name__ == "__main__":
    task.react(lambda _: Deferred.fromCoroutine(main()))
