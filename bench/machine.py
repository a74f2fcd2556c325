"""The machine: which core is whose, free ports, and processes with what they have used."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent

_CORES = sorted(os.sched_getaffinity(0))
#: The proxies' core, and those of load and origin; on a machine of one core they are the same.
PROXY_CORES = frozenset(_CORES[:1])
LOAD_CORES = frozenset(_CORES[1:]) or PROXY_CORES

_TICK = os.sysconf("SC_CLK_TCK")
#: Seconds until a program that starts, or ends, is given up.
PATIENCE = 30.0


class Missing(Exception):
    """A program that is not on this machine."""


class Invalid(Exception):
    """A measurement that does not count: an answer was wrong, or missing."""


def program(name: str) -> str:
    """The path of a program. Raises Missing."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


@functools.cache
def compiled(source: str) -> str:
    """The program that one of our C files makes, compiled once a run. Raises Missing."""
    folder = tempfile.TemporaryDirectory(prefix="bench-")
    atexit.register(folder.cleanup)
    made = str(Path(folder.name, Path(source).stem))
    arguments = ["-O2", "-pthread", "-o", made, str(HERE / source)]
    subprocess.run([program("cc"), *arguments], check=True)
    return made


def free_port() -> int:
    """A port nobody listens on, from below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def free_ports(count: int) -> list[int]:
    """So many, no two the same."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def many_files() -> None:
    """Let this process and its children hold as many descriptors as the machine permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass(frozen=True)
class Command:
    """What to start: the arguments, and what is added to the environment."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """A process of ours on given cores, with all that it starts; its output is FOLDER/log."""

    def __init__(self, command: Command, folder: Path, cores: frozenset[int]) -> None:
        self._log = folder / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command.arguments,
                cwd=folder,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def check(self) -> None:
        """Raises Invalid if it has ended."""
        if self._process.poll() is not None:
            raise Invalid(f"{self._process.args!r} ended:\n{self.log[-2000:]}")

    def cpu(self) -> float:
        """Seconds of CPU of it and all below it, those that have ended included."""
        return sum(stat.ticks for stat in self._tree()) / _TICK

    def memory(self) -> float:
        """Bytes: the proportional set size, so that what processes share counts once."""
        return sum(map(_proportional_set_size, (stat.pid for stat in self._tree())))

    def stop(self) -> None:
        """End it; after PATIENCE, kill it and what it left behind."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _tree(self) -> Iterator[_Stat]:
        everyone = [stat for path in Path("/proc").glob("[0-9]*") if (stat := _stat(path))]
        family = {self._process.pid}
        # A child can have a lower pid than its parent, once pids have started over.
        while more := {s.pid for s in everyone if s.parent in family} - family:
            family |= more
        return (stat for stat in everyone if stat.pid in family)


@dataclass(frozen=True)
class _Stat:
    """What /proc/PID/stat says; ticks: own, of all threads, and of children waited for."""

    pid: int
    parent: int
    ticks: int


def _stat(path: Path) -> _Stat | None:
    try:
        text = (path / "stat").read_text()
    except OSError:  # it has ended
        return None
    # The name, in parentheses, may hold anything: count from its end. proc(5) numbers from 1.
    values = text.rpartition(")")[2].split()
    parent, ticks = int(values[4 - 3]), sum(map(int, values[14 - 3 : 17 - 2]))
    return _Stat(int(path.name), parent, ticks)


def _proportional_set_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def until(what: Callable[[], bool], why: str, timeout: float = PATIENCE) -> None:
    """Wait until it is so. Raises Invalid when it is not in time."""
    end = time.monotonic() + timeout
    while not what():
        if time.monotonic() > end:
            raise Invalid(why)
        time.sleep(0.005)


def takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
