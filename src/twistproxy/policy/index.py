"""Which of many rules can match a question at all, without asking each.

A rule stands under what it asks that few questions have: a host, else a path, else a client's
network; the rest in a list. So a verdict looks up the few that can match, and ten thousand rules
for hosts cost what ten cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twistproxy.policy import Question
from twistproxy.policy.conditions.client import Client, number_of
from twistproxy.policy.conditions.host import Host, patterns_for
from twistproxy.policy.conditions.path import Path
from twistproxy.policy.rules import YES, All, Compiled

#: A rule, and what is left of its `when` to be asked.
Entry = tuple[Compiled, All]
_NOBODY: Final[list[Entry]] = []


class Index:
    """Rules by what they ask. Of each list the order is that of the rules."""

    def __init__(self, rules: list[Compiled]) -> None:
        self._for_any: list[Entry] = []
        self._by_host: dict[str, list[Entry]] = {}
        self._by_path: dict[str, list[Entry]] = {}
        # IP version → {bits of the host part → {what stands before them → rules}}
        self._by_client: dict[int, dict[int, dict[int, list[Entry]]]] = {}
        for rule in rules:
            self._add(rule)
        self._lengths = sorted({len(prefix) for prefix in self._by_path})

    def _add(self, rule: Compiled) -> None:
        when = rule.when
        host, path, client = when.find("host"), when.find("path"), when.find("client")
        if isinstance(host, Host):
            entry = rule, when.without("host")
            for pattern in host.patterns:
                self._by_host.setdefault(pattern, []).append(entry)
        elif isinstance(path, Path):
            entry = rule, when.without("path")
            for prefix in path.prefixes:
                self._by_path.setdefault(prefix, []).append(entry)
        elif isinstance(client, Client):
            entry = rule, when.without("client")
            for version, networks in client.networks.items():
                for bits, prefixes in networks.items():
                    by_prefix = self._by_client.setdefault(version, {}).setdefault(bits, {})
                    for start in prefixes:
                        by_prefix.setdefault(start, []).append(entry)
        else:
            self._for_any.append((rule, when))

    def candidates(self, question: Question) -> Iterator[list[Entry]]:
        """Lists of those that can match."""
        if self._by_host:
            by_host = self._by_host
            for pattern in patterns_for(question):
                if pattern in by_host:
                    yield by_host[pattern]
        if self._lengths:
            by_path, path = self._by_path, question.target.path
            longest = len(path)
            for length in self._lengths:
                if length > longest:
                    break
                found = by_path.get(path[:length])
                if found is not None:
                    yield found
        if self._by_client:
            version, number = number_of(question.client)
            networks = self._by_client.get(version)
            if networks is not None:
                for bits, by_prefix in networks.items():
                    found = by_prefix.get(number >> bits)
                    if found is not None:
                        yield found
        if self._for_any:
            yield self._for_any

    def first(self, question: Question) -> Compiled | None:
        """The first that holds, of rules that can be asked at once."""
        best: Compiled | None = None
        for entries in self.candidates(question):
            for rule, left in entries:
                if best is not None and rule.place >= best.place:
                    break
                if rule.judged(question, left) == YES:
                    best = rule
                    break
        return best

    def before(self, question: Question, best: Compiled | None) -> list[Entry]:
        """All that can match and stand before it, in order, each once."""
        last = float("inf") if best is None else best.place
        found = {}
        for entries in self.candidates(question):
            for entry in entries:
                if entry[0].place >= last:
                    break
                found[entry[0].place] = entry
        return [found[place] for place in sorted(found)]
