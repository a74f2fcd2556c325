"""What a person can ask of a running proxy: one table for console, ssh, API and CLI.

To add one: an entry in `COMMANDS`, a row in tests/admin/test_commands.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred

from twistproxy.admin import CommandFailed, Proxy
from twistproxy.tables import figures, table

Answer = str | Deferred[str]


@frozen
class Command:
    """One word that people type.

    run: called with the proxy and the words after the name; raises `CommandFailed`.
    arguments: how those words are shown; as many may be given. changes: not just looking.
    """

    name: str
    help: str
    run: Callable[[Proxy, Sequence[str]], Answer]
    arguments: tuple[str, ...] = ()
    changes: bool = False

    @property
    def usage(self) -> str:
        return " ".join((self.name, *self.arguments))


def run(proxy: Proxy, words: Sequence[str]) -> Answer:
    """The answer to a command and its arguments. Raises `CommandFailed`, its own included."""
    name, *arguments = words or [""]
    command = COMMANDS.get(name)
    if command is None:
        raise CommandFailed(f"no command {name!r}; there are: {', '.join(COMMANDS)}")
    if len(arguments) > len(command.arguments):
        raise CommandFailed(f"usage: {command.usage}")
    return command.run(proxy, arguments)


def _help(proxy: Proxy, arguments: Sequence[str]) -> str:
    if not arguments:
        return table(["command", "what it does"], [(c.usage, c.help) for c in COMMANDS.values()])
    command = COMMANDS.get(arguments[0])
    if command is None:
        raise CommandFailed(f"no command {arguments[0]!r}; there are: {', '.join(COMMANDS)}")
    return f"{command.usage}: {command.help}"


def _stats(proxy: Proxy, arguments: Sequence[str]) -> str:
    snapshot = proxy.snapshot()
    flat: dict[str, object] = {}
    for section, value in snapshot.items():
        if section == "cache":  # the figures asked for most go by their bare names
            flat.update(_flatten(value, ""))
        elif section not in ("pools", "parents"):  # keyed by names of the configuration
            flat.update(_flatten({section: value}, ""))
    return figures(flat)


def _flatten(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}_")
        else:
            yield prefix + name, value


def _reload(proxy: Proxy, arguments: Sequence[str]) -> Deferred[str]:
    return proxy.reload().addCallback("\n".join)


#: In the order in which help shows them.
COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("help", "this list, or one command's line", _help, arguments=("[COMMAND]",)),
        Command("stats", "one figure a line: NAME VALUE", _stats),
        Command("connections", "who is connected, and how long", lambda p, a: repr(p.connections)),
        Command("cache", "what the cache holds and how it does", lambda p, a: repr(p.cache)),
        Command("policy", "the rules, and how often each has decided", lambda p, a: repr(p.policy)),
        Command("pools", "the servers behind us, and how they are", lambda p, a: repr(p.pools)),
        Command("parents", "the proxies we leave through", lambda p, a: repr(p.parents)),
        Command("reload", "read the configuration file again", _reload, changes=True),
    )
}
