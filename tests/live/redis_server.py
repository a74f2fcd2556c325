"""Debian's redis-server, on a port and a socket of its own, to be stopped, frozen and emptied."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from certificates import Authority
from clients import need
from program import PATIENCE, free_port, until


class Redis:
    """A running redis-server that keeps what it has when it is stopped, not when it is killed.

    With an authority it speaks TLS for localhost, on another port.
    """

    def __init__(self, *options: str, authority: Authority | None = None) -> None:
        self._program = need("redis-server")
        self._options = options
        self.authority = authority
        self._process: subprocess.Popen[bytes] | None = None
        # A socket's path is short; pytest's own folders are not.
        self.folder = Path(tempfile.mkdtemp(prefix="redis"))
        self.port = free_port()
        self.socket = self.folder / "socket"
        if authority is not None:
            self.tls_port = free_port()
            chain, key = authority.issue("localhost")
            self._options += ("--tls-port", str(self.tls_port), "--tls-auth-clients", "no")
            self._options += ("--tls-cert-file", str(chain), "--tls-key-file", str(key))
        self.start()

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--unixsocket", str(self.socket), "--dir", str(self.folder)]
        command += ["--save", "3600 1000000", "--shutdown-on-sigterm", "save", *self._options]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            until(self._answers)
        except AssertionError:
            self.close()
            raise

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server ended"
        try:
            return self.ask("PING") != b""
        except OSError:
            return False

    def ask(self, *words: str | bytes) -> bytes:
        """Its answer to one command, as it comes on the wire, if that is short."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.socket))
            wire = b"*%d\r\n" % len(words)
            for word in words:
                text = word.encode() if isinstance(word, str) else word
                wire += b"$%d\r\n%b\r\n" % (len(text), text)
            connection.sendall(wire)
            return connection.recv(1 << 20)

    @property
    def running(self) -> bool:
        return self._process is not None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """As an operator does: it writes down what it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """What wasn't written down is lost."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(which)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)
