"""A row: everybody is started, tried and warmed up, then measured in turn, round by round."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import origin
from bench.load import Ask, Load, probe
from bench.machine import PROXY_CORES, Child, Invalid, Missing, free_ports, takes_connections, until
from bench.peers import DOORS, Peer, Place


@dataclass(frozen=True)
class Settings:
    """How long and how often. scale: what thousands of connections and objects are multiplied by.

    smoke: no peer, no waiting for what takes its time; shows that all of it runs, measures nothing.
    """

    seconds: float = 4.0
    rounds: int = 3
    scale: float = 1.0
    smoke: bool = False

    def count(self, number: int) -> int:
        return max(2, round(number * self.scale))


class Subject:
    """One proxy that is measured, running in a folder of its own."""

    def __init__(self, peer: Peer, folder: Path, origin_port: int, pair: tuple[Path, Path]) -> None:
        self.peer = peer
        self.origin = origin_port
        self.folder = folder
        self._pair = pair
        self._children: list[Child] = []
        self.start()

    def start(self) -> float:
        """Start it on new ports; seconds until it had answered. Raises Missing, Invalid."""
        self.folder.mkdir()
        ports = dict(zip(DOORS, free_ports(len(DOORS)), strict=True))
        self.place = Place(self.folder, ports, self.origin, *self._pair)
        commands = self.peer.commands(self.place)
        begun = time.monotonic()
        try:
            for command in commands:
                self._children.append(Child(command, self.folder, PROXY_CORES))
            until(self._listens, f"{self.peer.name} does not listen")
            probe(self.ask(self.peer.doors[0], "/fresh/1k"))
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - begun

    def _listens(self) -> bool:
        for child in self._children:
            child.check()
        return all(takes_connections(self.place.ports[door]) for door in self.peer.doors)

    def stop(self) -> None:
        while self._children:
            self._children.pop().stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> float:
        self.stop()
        return self.start()

    def ask(self, door: str, path: str) -> Ask:
        """The request for one of the origin's paths at that door."""
        size = origin.SIZES[path.rpartition("/")[2]]
        target = f"http://127.0.0.1:{self.origin}{path}" if door == "forward" else path
        return Ask(self.place.ports[door], target, size, tls=door == "tls")

    def cpu(self) -> float:
        return sum(child.cpu() for child in self._children)

    def memory(self) -> float:
        return sum(child.memory() for child in self._children)


#: One measurement: a figure's name and its value.
Figures = Mapping[str, float]
Measure = Callable[[Subject, Settings], Figures]
LoadOf = Callable[[Subject, Settings], Load]


@dataclass(frozen=True)
class Target:
    """What a figure of ours must reach: a limit, or so many times the same figure of a peer."""

    figure: str
    limit: float
    peer: str | None = None
    at_least: bool = False

    def value(self, ours: str, medians: Mapping[str, Figures]) -> float | None:
        """What was reached; None where it was not measured."""
        reached = medians.get(ours, {}).get(self.figure)
        beside = medians.get(self.peer, {}).get(self.figure) if self.peer else 1.0
        return reached / beside if reached is not None and beside else None

    def reached(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Row:
    """A question and how it is asked. subjects: ours first. figures: what it is about first.

    rounds: how often, where that is not as usual.
    """

    name: str
    title: str
    subjects: Sequence[str]
    measure: Measure
    figures: Sequence[str]
    targets: Sequence[Target] = ()
    rounds: int | None = None

    @property
    def ours(self) -> str:
        return self.subjects[0]


@dataclass
class Outcome:
    """What came of a row. failures: why a subject has no figures."""

    row: Row
    samples: dict[str, list[Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def medians(self) -> dict[str, Figures]:
        return {
            name: {
                figure: statistics.median(sample[figure] for sample in samples)
                for figure in samples[0]
            }
            for name, samples in self.samples.items()
            if name not in self.failures and samples
        }


def per_answer(load: LoadOf) -> Measure:
    """The measure of a load: CPU of the proxy per answer, answers per second and their times."""

    def measure(subject: Subject, settings: Settings) -> Figures:
        before = subject.cpu()
        found = load(subject, settings)
        cpu = subject.cpu() - before
        figures = {
            "cpu_us": cpu / found.answers * 1e6,
            "per_s": found.answers / found.seconds,
            "p50_ms": found.p50 * 1e3,
            "p99_ms": found.p99 * 1e3,
            "max_ms": found.worst * 1e3,
            "busy": cpu / found.seconds,
        }
        if found.bytes:
            figures["cpu_s_per_gb"] = cpu / found.bytes * 1e9
            figures["gb_per_s"] = found.bytes / 1e9 / found.seconds
        return figures

    return measure


def run(
    row: Row,
    peers: Sequence[Peer],
    origin_port: int,
    pair: tuple[Path, Path],
    folder: Path,
    settings: Settings,
) -> Outcome:
    """The row with those of its subjects that are among `peers`."""
    outcome = Outcome(row)
    with contextlib.ExitStack() as stack:
        subjects: list[Subject] = []
        for peer in peers:
            with _noting(outcome, peer.name):
                place = folder / f"{row.name}-{peer.name.replace(' ', '-')}"
                subject = Subject(peer, place, origin_port, pair)
                stack.callback(subject.stop)
                subjects.append(subject)
        rounds = row.rounds or settings.rounds
        if rounds > 1:
            for subject in subjects:
                with _noting(outcome, subject.peer.name):
                    row.measure(subject, replace(settings, seconds=1.0))
        for _ in range(rounds):
            for subject in subjects:
                name = subject.peer.name
                if name in outcome.failures:
                    continue
                with _noting(outcome, name):
                    figures = row.measure(subject, settings)
                    memory = subject.memory() / 1e6
                    outcome.samples.setdefault(name, []).append({**figures, "memory_mb": memory})
    return outcome


@contextlib.contextmanager
def _noting(outcome: Outcome, name: str) -> Iterator[None]:
    try:
        yield
    except (Missing, Invalid) as failure:
        outcome.failures[name] = str(failure)
