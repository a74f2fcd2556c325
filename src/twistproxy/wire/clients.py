"""Every client leg there is: the bound on them, and the table that shows them."""

from __future__ import annotations

from itertools import islice
from typing import Any, Protocol

from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.net.sweep import Sweep
from twistproxy.tables import table
from twistproxy.wire import Terms

#: Rows of the table: enough to see what goes on, few enough to print.
SHOWN = 1000


class Leg(Protocol):
    """What the table says of a client leg."""

    since: float
    requests: int

    @property
    def address(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def state(self) -> str: ...
    def drain(self) -> None: ...
    def abort(self) -> None: ...


class Clients:
    """Client legs, counted in all and by address."""

    def __init__(self, terms: Terms, sweep: Sweep) -> None:
        self._terms = terms
        self._sweep = sweep
        self._legs: set[Leg] = set()
        self._by_address: dict[str, int] = {}
        self.accepted = 0
        self.refused = 0

    def enter(self, leg: Leg) -> Problem | None:
        """Count a leg in; a Problem, and not counted, if it is one too many.

        So that who is turned away takes nobody's place.
        """
        limits = self._terms.limits
        count = self._by_address.get(leg.address, 0)
        if len(self._legs) >= limits.connections:
            self.refused += 1
            return errors.CONNECTION_LIMIT_REACHED.about(what=f"{limits.connections} in all")
        # A unix socket's clients have no address to tell them apart by.
        if count >= limits.per_client and leg.address:
            self.refused += 1
            return errors.CONNECTION_LIMIT_REACHED.about(
                what=f"{limits.per_client} from one address"
            )
        self._legs.add(leg)
        self._by_address[leg.address] = count + 1
        self.accepted += 1
        return None

    def leave(self, leg: Leg) -> None:
        """Nothing if it never entered."""
        if leg not in self._legs:
            return
        self._legs.remove(leg)
        count = self._by_address[leg.address] - 1
        if count:
            self._by_address[leg.address] = count
        else:
            del self._by_address[leg.address]

    def drain(self) -> None:
        """Each leg ends as soon as it has answered what it is about."""
        for leg in list(self._legs):
            leg.drain()

    def abort(self) -> None:
        """Each leg ends now."""
        for leg in list(self._legs):
            leg.abort()

    def __len__(self) -> int:
        return len(self._legs)

    def snapshot(self) -> dict[str, Any]:
        """Counts, and the first `SHOWN` legs; seconds since each was accepted."""
        now = self._sweep.now
        return {
            "clients": len(self._legs),
            "limit": self._terms.limits.connections,
            "accepted": self.accepted,
            "refused": self.refused,
            "list": [
                {
                    "client": leg.address,
                    "side": leg.side,
                    "state": leg.state,
                    "seconds": round(now - leg.since),
                    "requests": leg.requests,
                }
                for leg in islice(self._legs, SHOWN)
            ],
        }

    def __repr__(self) -> str:
        rows = [list(row.values()) for row in self.snapshot()["list"]]
        head = f"{len(self._legs)} of {self._terms.limits.connections} connections"
        shown = table(["client", "side", "state", "seconds", "requests"], rows)
        return f"{head}\n{shown}" if rows else head
