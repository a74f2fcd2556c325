"""The real program as an operator starts it: twistd in a child process, on free ports."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any, TypeVar

T = TypeVar("T")

TWISTD = str(Path(sys.executable).with_name("twistd"))
LISTENERS = ("forward", "reverse", "tls", "manhole", "admin")
#: Longer than anything here may take on a busy machine; reached only when a test fails.
PATIENCE = 20.0


def free_port() -> int:
    """A port nobody listens on, from below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def until(what: Callable[[], T], timeout: float = PATIENCE, why: str = "") -> T:
    """The first true value of `what`, asked again and again."""
    end = time.monotonic() + timeout
    while True:
        if value := what():
            return value
        assert time.monotonic() < end, why or f"not within {timeout} s: {what}"
        time.sleep(0.02)


def takes_connections(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def serves(port: int) -> bool:
    """Whether who listens there also runs: an end of ours is answered, by a close or a banner."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
    except ConnectionResetError:
        return True
    except OSError:
        return False
    return True


class Program:
    """One running twistproxy.

    text: its configuration, in which ``$forward``, ``$reverse``, ``$tls``, ``$manhole`` and
    ``$admin`` are free ports, and other names are given as keywords.
    reactor: "uvloop", what it chooses by itself, or one that twistd is told to use.
    command: another way to start it, to which --config is added.
    """

    def __init__(
        self,
        folder: Path,
        reactor: str,
        text: str,
        cwd: Path | None = None,
        command: list[str] | None = None,
        **names: object,
    ) -> None:
        self.folder = folder
        self.reactor = reactor
        self.killed = False
        self.names = {**{name: free_port() for name in LISTENERS}, **names}
        self.config = folder / "twistproxy.toml"
        self.log_file = folder / "log"
        self.configure(text)
        chosen = [] if reactor == "uvloop" else [f"--reactor={reactor}"]
        command = command or [TWISTD, *chosen, "--nodaemon", "--pidfile=", "twistproxy"]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--config", str(self.config)],
                cwd=cwd or folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def configure(self, text: str) -> None:
        """Write the configuration, with an access log and a short drain unless it says so."""
        if "[log]" not in text:
            text += '\n[log]\naccess = { file = "access.log", format = "json" }\n'
        if "[timeouts]" not in text:
            text += '\n[timeouts]\ndrain = "1s"\n'
        self.text = text
        self.config.write_text(Template(text).substitute(self.names))

    def __getattr__(self, name: str) -> int:
        if name in LISTENERS:
            return int(str(self.names[name]))
        raise AttributeError(name)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def ready(self) -> Program:
        """Wait until every listener answers."""
        for name in LISTENERS:
            if re.search(rf"\${name}\b", self.text):
                until(lambda name=name: self._answers(name), why=f"no {name} listener:\n{self.log}")
        return self

    def _answers(self, name: str) -> bool:
        assert self.process.poll() is None, f"it ended:\n{self.log}"
        return serves(getattr(self, name))

    def reload(self, text: str) -> None:
        """A new configuration by SIGHUP; returns when the signal is sent."""
        self.configure(text)
        self.process.send_signal(signal.SIGHUP)

    def access(
        self, count: int = 1, containing: str = "", **wanted: object
    ) -> list[dict[str, Any]]:
        """The access log's lines with that text and these values, once there are `count`."""

        def found() -> list[dict[str, Any]]:
            file = self.folder / "access.log"
            if not file.exists():
                return []
            # The last line may be half written.
            texts = file.read_text().split("\n")[:-1]
            lines = [json.loads(text) for text in texts if containing in text]
            rows = [row for row in lines if all(row.get(k) == v for k, v in wanted.items())]
            return rows if len(rows) >= count else []

        return until(found, timeout=5, why=f"no {count} lines with {containing} {wanted}")

    def memory(self, figure: str = "VmRSS") -> int:
        """Bytes of memory that it holds; "VmHWM": at most, since `forget_peak`."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(figure + ":"):
                return int(line.split()[1]) << 10
        raise AssertionError(f"no {figure} in /proc/{self.process.pid}/status")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.killed = True
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """What holds at the end of each test: it drains, exits 0 (unless it was killed) and has met
        no bug."""
        try:
            status = self.stop()
            assert status == 0 or self.killed, f"exit status {status}:\n{self.log[-4000:]}"
            assert "Traceback" not in self.log, self.log[-6000:]
        finally:
            self.kill()


def run_to_end(folder: Path, text: str, reactor: str = "uvloop", **names: object) -> Program:
    """A program that is expected not to start: returned when it has ended."""
    program = Program(folder, reactor, text, **names)
    try:
        program.process.wait(PATIENCE)
    finally:
        program.kill()
    return program


def many_files() -> None:
    """Let this process and its children hold as many descriptors as the machine permits."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def in_ci() -> bool:
    return bool(os.environ.get("CI"))
