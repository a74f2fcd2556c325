"""What a person can ask of a running proxy: one table for console, ssh, API and CLI.

To add one: an entry in `COMMANDS`, a row in tests/admin/test_commands.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred

from twistproxy.admin import CommandFailed, Proxy, asks
from twistproxy.admin.explaining import explain
from twistproxy.cache.desk.warm import Busy, urls_in
from twistproxy.cache.purge import By
from twistproxy.tables import figures, table

Answer = str | Deferred[str]

#: Bytes of a file with a list of URLs.
LIST: Final = 64 << 20


@frozen
class Command:
    """One word that people type.

    run: called with the proxy, the words after the name, and which of the options were among
    them; raises `CommandFailed`. arguments: how those words are shown: in brackets what may be
    left out, with dots at the end what may come again. options: each with its line of help.
    changes: not just looking. patience: seconds that who asks from outside waits for the answer.
    from_here: words as another process has to be given them, which runs in another folder.
    """

    name: str
    help: str
    run: Callable[[Proxy, Sequence[str], Collection[str]], Answer]
    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = {}
    changes: bool = False
    patience: float = 120.0  # a reload may have a lot to read
    from_here: Callable[[str], str] = str

    @property
    def usage(self) -> str:
        return " ".join((self.name, *(f"[{option}]" for option in self.options), *self.arguments))

    @property
    def least(self) -> int:
        """Words that must follow the name."""
        return sum(not argument.startswith("[") for argument in self.arguments)

    @property
    def most(self) -> float:
        """Words that may."""
        endless = any(argument.rstrip("]").endswith("...") for argument in self.arguments)
        return float("inf") if endless else len(self.arguments)


def run(proxy: Proxy, words: Sequence[str]) -> Answer:
    """The answer to a command and its arguments. Raises `CommandFailed`, its own included."""
    name, *arguments = words or [""]
    command = COMMANDS.get(name)
    if command is None:
        raise CommandFailed(f"no command {name!r}; there are: {', '.join(COMMANDS)}")
    options = {word for word in arguments if word in command.options}
    arguments = [word for word in arguments if word not in command.options]
    if not command.least <= len(arguments) <= command.most:
        raise CommandFailed(f"usage: {command.usage}")
    return command.run(proxy, arguments, options)


def _help(proxy: Proxy, arguments: Sequence[str], options: Collection[str]) -> str:
    if not arguments:
        return table(["command", "what it does"], [(c.usage, c.help) for c in COMMANDS.values()])
    command = COMMANDS.get(arguments[0])
    if command is None:
        raise CommandFailed(f"no command {arguments[0]!r}; there are: {', '.join(COMMANDS)}")
    lines = [f"{command.usage}: {command.help}"]
    lines += [f"  {option}  {told}" for option, told in command.options.items()]
    return "\n".join(lines)


def _stats(proxy: Proxy, *_: object) -> str:
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


def _reload(proxy: Proxy, *_: object) -> Deferred[str]:
    return proxy.reload().addCallback("\n".join)


def _shown(answer: object) -> Answer:
    """What the repr of an answer is, now or later."""
    return answer.addCallback(repr) if isinstance(answer, Deferred) else repr(answer)


def _why(proxy: Proxy, arguments: Sequence[str], _: object) -> Answer:
    try:
        return _shown(proxy.cache.why(arguments[0]))
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _count(arguments: Sequence[str], default: int) -> int:
    if not arguments:
        return default
    count = arguments[0]
    if not (count.isdecimal() and len(count) <= 4 and 1 <= int(count) <= 1000):
        raise CommandFailed(f"{count!r} is not a number from 1 to 1000")
    return int(count)


def _top(proxy: Proxy, arguments: Sequence[str], _: object) -> Answer:
    return _shown(proxy.cache.top(_count(arguments, 10)))


def _recent(proxy: Proxy, arguments: Sequence[str], _: object) -> str:
    if not arguments or arguments[0].isdecimal():
        return repr(proxy.policy.recent(_count(arguments, 20)))
    try:
        return repr(proxy.policy.recent(rule=arguments[0]))
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _rules(proxy: Proxy, arguments: Sequence[str], _: object) -> str:
    return repr(proxy.policy.top(_count(arguments, 20)))


def _explain(proxy: Proxy, arguments: Sequence[str], _: object) -> Answer:
    return explain(proxy, arguments)


def _learn(proxy: Proxy, arguments: Sequence[str], _: object) -> Answer:
    policy = proxy.policy
    if arguments == ["stop"]:
        policy.stop()
    try:
        learned = policy.learn(*arguments) if arguments not in ([], ["stop"]) else policy.learned()
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    return learned.addCallback(repr)


#: What a purge goes by, else by URL.
_WAYS: Final[dict[str, By]] = {
    "--prefix": "prefix",
    "--host": "host",
    "--tag": "tag",
    "--pattern": "pattern",
}


def _purge(proxy: Proxy, arguments: Sequence[str], options: Collection[str]) -> Answer:
    ways = [way for option, way in _WAYS.items() if option in options]
    if len(ways) > 1:
        raise CommandFailed(f"one of {', '.join(_WAYS)}, not several")
    way = ways[0] if ways else "url"
    try:
        taken = proxy.cache.purge(arguments[0], way, "--soft" in options)
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    return taken.addCallback(figures)


def _warm(proxy: Proxy, arguments: Sequence[str], _: object) -> Answer:
    warmer = proxy.cache.warmer
    if not arguments or arguments == ["stop"]:
        if arguments:
            warmer.stop()
        return repr(warmer.progress())
    urls: list[str] = []
    for word in arguments:
        urls += [word] if _is_url(word) else _urls_of(word)
    try:
        return _shown(proxy.cache.warm(urls))
    except Busy as busy:
        raise CommandFailed(f"A list is being fetched: {busy}. `warm stop` ends that.") from None
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _lists(proxy: Proxy, arguments: Sequence[str], _: object) -> Answer:
    if not arguments:
        return repr(proxy.lists)
    verbs: dict[str, Callable[[str], Answer]] = {
        "refresh": proxy.lists.refresh,
        "force": proxy.lists.force,
    }
    verb = verbs.get(arguments[0])
    if verb is None or len(arguments) == 1:
        raise CommandFailed("lists, lists refresh NAME or lists force NAME")
    try:
        return verb(arguments[1])
    except LookupError:
        known = ", ".join(proxy.lists.snapshot()) or "none"
        raise CommandFailed(f"no list {arguments[1]!r}; there are: {known}") from None


def _is_url(word: str) -> bool:
    return word.lower().startswith(("http://", "https://"))


def _urls_of(path: str) -> list[str]:
    try:
        if not os.path.isfile(path):  # what else could be read may never end
            raise CommandFailed(f"{path}: there is no such file, and it is no URL")
        if os.path.getsize(path) > LIST:
            raise CommandFailed(f"{path}: it is larger than {LIST >> 20} MiB")
        with open(path, encoding="utf-8", errors="replace") as file:
            return urls_in(file.read(LIST))
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None


def _of_warm(word: str) -> str:
    return word if _is_url(word) or word == "stop" else os.path.abspath(word)


#: In the order in which help shows them.
COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("help", "this list, or one command's line", _help, arguments=("[COMMAND]",)),
        Command("stats", "one figure a line: NAME VALUE", _stats),
        Command("connections", "who is connected, and how long", lambda p, *_: repr(p.connections)),
        Command("cache", "what the cache holds and how it does", lambda p, *_: repr(p.cache)),
        Command("why", "what the cache knows of a URL", _why, arguments=("URL",)),
        Command("top", "what the cache is asked for most", _top, arguments=("[N]",)),
        Command(
            "purge",
            "have the cache forget a URL, or what else is meant",
            _purge,
            arguments=("VALUE",),
            options={
                "--prefix": "VALUE is what URLs begin with",
                "--host": "VALUE is a host; .example.org: and all below it",
                "--tag": "VALUE is one of an object's tags",
                "--pattern": "VALUE is found in URLs (RE2)",
                "--soft": "make stale, do not forget",
            },
            changes=True,
        ),
        Command(
            "warm",
            "fetch URLs, or those in a file, one a line; how far that is; or stop it",
            _warm,
            arguments=("[URL|FILE|stop...]",),
            changes=True,
            patience=86400.0,
            from_here=_of_warm,
        ),
        Command(
            "policy", "the rules, and how often each has decided", lambda p, *_: repr(p.policy)
        ),
        Command("rules", "which rules are hit most, and which never", _rules, arguments=("[N]",)),
        Command(
            "recent",
            "the policy's last decisions, of all rules or one",
            _recent,
            arguments=("[N|RULE]",),
        ),
        Command(
            "explain",
            "what the rules say to a request, and why; NAME is client, user, method…",
            _explain,
            arguments=("URL", "[NAME=VALUE...]"),
        ),
        Command(
            "learn",
            "watch for so long, then give the allow-list for what was seen; so far; or stop it",
            _learn,
            arguments=("[DURATION|stop]",),
            changes=True,
            patience=32 * 86400.0,
        ),
        Command(
            "lists",
            "the lists that rules ask; read or fetch one now; or take what was kept back",
            _lists,
            arguments=("[refresh|force]", "[NAME]"),
            changes=True,
            patience=600.0,
        ),
        Command("limits", "what rules count, and whom they refused", lambda p, *_: repr(p.limits)),
        Command("asks", "who waits for an operator's answer", asks.asks),
        Command(
            "answer",
            "answer one that waits: once, hour, always, no or never",
            asks.answer,
            arguments=("NUMBER", "WORD"),
            changes=True,
        ),
        Command("answers", "the answers that stand", asks.answers),
        Command("forget", "take back an answer", asks.forget, arguments=("NUMBER",), changes=True),
        Command("pools", "the servers behind us, and how they are", lambda p, *_: repr(p.pools)),
        Command("parents", "the proxies we leave through", lambda p, *_: repr(p.parents)),
        Command("reload", "read the configuration file again", _reload, changes=True),
    )
}
