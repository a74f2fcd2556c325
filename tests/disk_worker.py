"""A disk store whose thread works when the test says so, on a clock of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from twistproxy.cache.stores.disk import DiskStore


class Turns(Clock):
    """A reactor that has turns. told: what the thread wants done in the next."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[..., object], *args: Any) -> None:
        self.told.append(lambda: call(*args))

    def turn(self) -> bool:
        """Whether there was something to do."""
        told, self.told = self.told, []
        for call in told:
            call()
        return bool(told)


class Worker:
    """A store in a folder, and its thread. It is open, unless it couldn't be or need not."""

    def __init__(self, folder: Path, limit: int, start: bool = True) -> None:
        self.clock = Turns()
        self.store = DiskStore(folder, limit, self.clock, lambda run: None)
        if start:
            self.store.start()
            self.settle()

    def settle(self) -> None:
        """All that there is to do is done, and told."""
        while True:
            self.store.work()
            if not self.clock.turn():
                return

    def close(self) -> None:
        self.store.close()
        self.settle()
