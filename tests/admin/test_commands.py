"""The table of commands."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from twistproxy.admin import CommandFailed, ReloadFailed, commands
from twistproxy.admin.commands import COMMANDS, run
from twistproxy.cache.desk.warm import Busy, Warmed


class Table:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Warmer:
    stopped = False

    def stop(self) -> None:
        self.stopped = True

    def progress(self) -> Warmed:
        return Warmed(9, 5, {200: 5}, 0, ())


class Desk(Table):
    """What it was asked; answers a table, now or later."""

    def __init__(self) -> None:
        super().__init__("the cache's table")
        self.asked: list[tuple[object, ...]] = []
        self.warmer = Warmer()

    def why(self, url: str) -> Any:
        if "://" not in url:
            raise ValueError(f"{url!r} is not a URL")
        answer = Table(f"why {url}")
        return succeed(answer) if "later" in url else answer

    def top(self, count: int) -> Table:
        return Table(f"top {count}")

    def purge(self, value: str, by: str, soft: bool) -> Deferred[dict[str, int]]:
        if value == "(":
            raise ValueError("no RE2 pattern")
        self.asked.append((value, by, soft))
        return succeed({"memory": 2, "disk": 3})

    def warm(self, urls: list[str]) -> Deferred[Table]:
        if "busy" in urls[0]:
            raise Busy("5 of 9 fetched")
        if "many" in urls[0]:
            raise ValueError("too many")
        self.asked.append(tuple(urls))
        return succeed(Table("all fetched"))


class PolicyDesk(Table):
    """What it was asked; answers a table, or learns at once."""

    def __init__(self) -> None:
        super().__init__("the policy's table")
        self.stopped = False

    def explain(self, url: str, **words: object) -> Any:
        raise ValueError(f"url: {url} {words}")

    def recent(self, count: int = 7, rule: str | None = None) -> Table:
        if rule == "nosuch":
            raise ValueError("no rule named nosuch")
        return Table(f"recent {count} {rule}")

    def top(self, count: int) -> Table:
        return Table(f"hit {count}")

    def learn(self, duration: str) -> Deferred[Table]:
        if duration == "ten":
            raise ValueError("no duration")
        return succeed(Table(f"learned for {duration}"))

    def learned(self) -> Deferred[Table]:
        return succeed(Table("learned so far"))

    def stop(self) -> None:
        self.stopped = True


class Asks(Table):
    answers = Table("the answers' table")

    def answer(self, number: int, word: str) -> int:
        return number

    def forget(self, number: int) -> Any:
        access = SimpleNamespace(who="ann", where="http://a.example", rule="new")
        return SimpleNamespace(word="always", access=access)


class Lists(Table):
    def snapshot(self) -> dict[str, Any]:
        return {"ads": {}}

    def refresh(self, name: str) -> Deferred[str]:
        return succeed(f"{name}: {self.snapshot()[name] or 3} entries")

    def force(self, name: str) -> str:
        return f"{name}: {self.snapshot()[name] or 4} entries"


class FakeProxy:
    limits, asks = Table("the limits' table"), Asks("the asks' table")
    lists = Lists("the lists' table")
    pools, parents = Table("the pools' table"), Table("the parents' table")
    connections = Table("the connections' table")
    reloaded: Deferred[list[str]]

    def __init__(self) -> None:
        self.cache: Any = Desk()
        self.policy: Any = PolicyDesk()

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
    "of late": (["recent"], "recent 20 None"),
    "so many of late": (["recent", "3"], "recent 3 None"),
    "of late by one rule": (["recent", "no-ads"], "recent 7 no-ads"),
    "which rules are hit": (["rules"], "hit 20"),
    "so many that are hit": (["rules", "3"], "hit 3"),
    "limits": (["limits"], "the limits' table"),
    "lists": (["lists"], "the lists' table"),
    "a list that was kept back": (["lists", "force", "ads"], "ads: 4 entries"),
    "asks": (["asks"], "the asks' table"),
    "answers": (["answers"], "the answers' table"),
    "answer": (["answer", "2", "hour"], "hour to 2 that wait"),
    "forget": (["forget", "2"], "no longer always: ann → http://a.example (new)"),
    "pools": (["pools"], "the pools' table"),
    "parents": (["parents"], "the parents' table"),
    "connections": (["connections"], "the connections' table"),
    "why": (["why", "http://a.example/"], "why http://a.example/"),
    "top": (["top"], "top 10"),
    "top of so many": (["top", "3"], "top 3"),
    "warm, how far": (["warm"], "5 of 9 fetched, 5 × 200"),
    "warm no more": (["warm", "stop"], "5 of 9 fetched, 5 × 200"),
    "help about one": (["help", "reload"], "reload: read the configuration file again"),
    "help about options": (
        ["help", "purge"],
        "purge [--prefix] [--host] [--tag] [--pattern] [--soft] VALUE:"
        " have the cache forget a URL, or what else is meant\n"
        "  --prefix  VALUE is what URLs begin with\n"
        "  --host  VALUE is a host; .example.org: and all below it\n"
        "  --tag  VALUE is one of an object's tags\n"
        "  --pattern  VALUE is found in URLs (RE2)\n"
        "  --soft  make stale, do not forget",
    ),
    "help about help": (["help", "help"], "help [COMMAND]: this list, or one command's line"),
}


@pytest.mark.parametrize(("words", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_commands_answer(words: list[str], answer: str) -> None:
    assert run(FakeProxy(), words) == answer


PURGES = {
    "a URL": (["http://a.example/"], ("http://a.example/", "url", False)),
    "softly": (["--soft", "http://a.example/"], ("http://a.example/", "url", True)),
    "prefix": (["--prefix", "http://a.example/x"], ("http://a.example/x", "prefix", False)),
    "host": (["a.example", "--host"], ("a.example", "host", False)),
    "tag, softly": (["--tag", "news", "--soft"], ("news", "tag", True)),
    "pattern": (["--pattern", r"\.png$"], (r"\.png$", "pattern", False)),
}


def waited_for(answer: object) -> str:
    assert isinstance(answer, Deferred)
    return str(answer.result)


@pytest.mark.parametrize(("words", "asked"), PURGES.values(), ids=PURGES)
def test_purge(words: list[str], asked: tuple[object, ...]) -> None:
    proxy = FakeProxy()
    assert waited_for(run(proxy, ["purge", *words])) == "memory 2\ndisk 3"
    assert proxy.cache.asked == [asked]


def test_why_may_take_a_while() -> None:
    assert waited_for(run(FakeProxy(), ["why", "http://later/"])) == "why http://later/"


def test_warm_takes_urls_and_files_of_them(tmp_path: Path) -> None:
    proxy, file = FakeProxy(), tmp_path / "urls"
    file.write_text("# those\nhttp://a.example/1\nhttp://a.example/2\n")
    words = ["warm", "http://a.example/0", str(file), "HTTPS://a.example/"]
    assert waited_for(run(proxy, words)) == "all fetched"
    urls = [f"http://a.example/{n}" for n in range(3)]
    assert proxy.cache.asked == [(*urls, "HTTPS://a.example/")]


def test_warming_can_be_stopped() -> None:
    proxy = FakeProxy()
    run(proxy, ["warm"])
    assert not proxy.cache.warmer.stopped
    run(proxy, ["warm", "stop"])
    assert proxy.cache.warmer.stopped


def test_a_list_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "urls"
    file.write_text("http://a.example/1\n")
    for path, why in ((tmp_path, "no such file"), ("/dev/zero", "no such file")):
        with pytest.raises(CommandFailed, match=why):
            run(FakeProxy(), ["warm", str(path)])
    monkeypatch.setattr(commands, "LIST", 10)
    with pytest.raises(CommandFailed, match="it is larger than"):
        run(FakeProxy(), ["warm", str(file)])


def test_words_from_elsewhere_mean_what_they_mean_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = [COMMANDS["warm"].from_here(word) for word in ("http://a/", "stop", "urls", "/urls")]
    assert told == ["http://a/", "stop", f"{tmp_path}/urls", "/urls"]
    assert COMMANDS["purge"].from_here("urls") == "urls"


LEARNING = {
    "for so long": (["10m"], "learned for 10m", False),
    "so far": ([], "learned so far", False),
    "no more": (["stop"], "learned so far", True),
}


@pytest.mark.parametrize(("words", "told", "stopped"), LEARNING.values(), ids=LEARNING)
def test_learn(words: list[str], told: str, stopped: bool) -> None:
    proxy = FakeProxy()
    assert waited_for(run(proxy, ["learn", *words])) == told
    assert proxy.policy.stopped == stopped


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
    "a word too few": (["why"], "usage: why URL"),
    "an option that is none": (["purge", "--all", "a"], "usage: purge [--prefix]"),
    "why of no URL": (["why", "a"], "'a' is not a URL"),
    "top of none": (["top", "0"], "'0' is not a number from 1 to 1000"),
    "top of too many": (["top", "1001"], "'1001' is not a number"),
    "top of a word": (["top", "ten"], "'ten' is not a number"),
    "purge by two": (["purge", "--tag", "--host", "a"], "one of --prefix, --host, --tag,"),
    "purge of nothing": (["purge", "--soft"], "usage: purge"),
    "purge by no pattern": (["purge", "--pattern", "("], "no RE2 pattern"),
    "of late by no rule": (["recent", "nosuch"], "no rule named nosuch"),
    "too many of late": (["recent", "1001"], "'1001' is not a number from 1"),
    "explain what can't be asked": (["explain", "a", "user=b"], "url: a {'user': 'b'}"),
    "learn for no time": (["learn", "ten"], "no duration"),
    "an answer that is none": (["answer", "2", "maybe"], "'maybe' is no answer; there are: once"),
    "answer without a word": (["answer", "2"], "usage: answer NUMBER WORD"),
    "forget what has no number": (["forget", "it"], "'it' is not a number"),
    "warm while it is warming": (["warm", "http://busy/"], "A list is being fetched: 5 of 9"),
    "warm too many": (["warm", "http://many/"], "too many"),
}


@pytest.mark.parametrize(("words", "why"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_run(words: list[str], why: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        run(FakeProxy(), words)
    assert str(caught.value).startswith(why)


def test_a_list_is_read_now() -> None:
    answer = run(FakeProxy(), ["lists", "refresh", "ads"])
    assert isinstance(answer, Deferred)
    assert answer.result == "ads: 3 entries"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["force"], "lists, lists refresh NAME or lists force NAME"),
        (["eat", "ads"], "lists, lists refresh NAME or lists force NAME"),
        (["force", "adds"], "no list 'adds'; there are: ads"),
        (["refresh", "adds"], "no list 'adds'; there are: ads"),
    ],
)
def test_what_lists_can_not_do(words: list[str], why: str) -> None:
    with pytest.raises(CommandFailed, match=f"^{why}$"):
        run(FakeProxy(), ["lists", *words])
