"""Smooth weighted round robin: everybody's turn comes in proportion to its weight, well mixed.

Each choice adds to every server its weight, takes the one with the most, and takes the sum of the
weights from that: with weights 5, 1, 1 it makes a a b a c a a, not a a a a a b c. It is the
algorithm of nginx (2012). A choice that refuses is taken back, and the next one made without it:
its share falls to all others by weight, not to a neighbour, and nothing has to be caught up with
later. Cost: a pass over the servers for each choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import define
from zope.interface import implementer

from twistproxy.upstream.balance import Balancing, IBalancer, Server


@define(eq=False)
class _Turn:
    server: Server
    weight: int
    due: int = 0


@implementer(IBalancer)
class RoundRobin:
    def __init__(self, servers: Sequence[Server]) -> None:
        self._turns = [_Turn(server, server.weight) for server in servers]

    def order(self, key: bytes) -> Iterator[Server]:
        left = self._turns
        while left:
            total, chosen = 0, left[0]
            for turn in left:
                turn.due += turn.weight
                total += turn.weight
                if turn.due > chosen.due:  # of equals, the first
                    chosen = turn
            chosen.due -= total
            yield chosen.server
            chosen.due += total
            for turn in left:
                turn.due -= turn.weight
            left = [turn for turn in left if turn is not chosen]


round_robin = Balancing("round_robin", RoundRobin)
