"""The table of commands."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from twistproxy.admin import CommandFailed, ReloadFailed
from twistproxy.admin.commands import COMMANDS, run


class Table:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class FakeProxy:
    cache, policy = Table("the cache's table"), Table("the policy's table")
    pools, parents = Table("the pools' table"), Table("the parents' table")
    connections = Table("the connections' table")
    reloaded: Deferred[list[str]]

    def snapshot(self) -> dict[str, Any]:
        return {
            "version": "1.2",
            "uptime": 3.25,
            "exchanges": {"total": 7, "by": {"side": 2}},
            "cache": {"hits": 3, "misses": 1},
            "policy": {"default": "allow", "rules": [{"name": "no-ads"}]},
            "pools": {"api": {"servers": []}},
            "parents": {"a parent": {"up": True}},
        }

    def reload(self) -> Deferred[list[str]]:
        return self.reloaded


ANSWERS = {
    "stats": (
        ["stats"],
        "version 1.2\nuptime 3.25\nexchanges_total 7\nexchanges_by_side 2\n"
        "hits 3\nmisses 1\npolicy_default allow",
    ),
    "cache": (["cache"], "the cache's table"),
    "policy": (["policy"], "the policy's table"),
    "pools": (["pools"], "the pools' table"),
    "parents": (["parents"], "the parents' table"),
    "connections": (["connections"], "the connections' table"),
    "help about one": (["help", "reload"], "reload: read the configuration file again"),
    "help about help": (["help", "help"], "help [COMMAND]: this list, or one command's line"),
}


@pytest.mark.parametrize(("words", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_commands_answer(words: list[str], answer: str) -> None:
    assert run(FakeProxy(), words) == answer


def test_help_names_them_all() -> None:
    text = run(FakeProxy(), ["help"])
    assert isinstance(text, str)
    assert [line.split()[0] for line in text.splitlines()[1:]] == list(COMMANDS)


def test_the_table_has_a_line_for_each() -> None:
    for name, command in COMMANDS.items():
        assert name == command.name
        assert command.help


def test_reload_tells_what_has_changed() -> None:
    proxy = FakeProxy()
    proxy.reloaded = succeed(["generation 4", "changed: policy"])
    told: list[str] = []
    answer = run(proxy, ["reload"])
    assert isinstance(answer, Deferred)
    answer.addCallback(told.append)
    assert told == ["generation 4\nchanged: policy"]


def test_reload_fails_with_the_errors() -> None:
    proxy = FakeProxy()
    proxy.reloaded = fail(ReloadFailed("FILE:1: no"))
    errors: list[str] = []
    answer = run(proxy, ["reload"])
    assert isinstance(answer, Deferred)
    answer.addErrback(lambda failure: errors.append(str(failure.value)))
    assert errors == ["FILE:1: no"]


REFUSED = {
    "nothing": ([], "no command ''"),
    "unknown": (["nosuch"], "no command 'nosuch'; there are: help, stats,"),
    "too many words": (["stats", "now"], "usage: stats"),
    "help about nothing": (["help", "nosuch"], "no command 'nosuch'"),
}


@pytest.mark.parametrize(("words", "why"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_run(words: list[str], why: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        run(FakeProxy(), words)
    assert str(caught.value).startswith(why)
