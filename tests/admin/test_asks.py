"""The commands by which an operator answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from questions import ask
from twistproxy.admin import CommandFailed, asks
from twistproxy.net.sweep import Sweep
from twistproxy.policy import answers
from twistproxy.policy.answers import Answers
from twistproxy.policy.parked import Answer, Parked


class Terms:
    timeout, default = 30.0, "deny"


class Waiter:
    def answered(self, answer: Answer) -> None: ...
    def reconsider(self) -> None: ...


class Proxy:
    """One question, 1, which two ask."""

    def __init__(self) -> None:
        kept = Answers(Path("nowhere"), lambda work: succeed(None), lambda: 0.0)
        sweep = Sweep(Clock())  # type: ignore[arg-type]
        self.asks = Parked(kept, sweep, lambda: 0.0, lambda work: None)
        for _ in range(2):
            self.asks.ask(ask("http://a.test/", user="ann"), "forward", "new", Terms(), Waiter())


def test_what_waits_and_what_stands() -> None:
    proxy = Proxy()
    assert asks.asks(proxy) == repr(proxy.asks)
    assert "http://a.test" in asks.asks(proxy)
    assert asks.answers(proxy) == repr(proxy.asks.answers)


def test_answer_and_take_it_back() -> None:
    proxy = Proxy()
    assert asks.answer(proxy, ["1", "always"]) == "always to 2 that wait"
    assert "always" in asks.answers(proxy)
    assert asks.forget(proxy, ["1"]) == "no longer always: ann → http://a.test (new)"
    assert "always" not in asks.answers(proxy)


def test_one_that_waits() -> None:
    proxy = Proxy()
    proxy.asks.ask(ask("http://b.test/"), "forward", "new", Terms(), Waiter())
    assert asks.answer(proxy, ["2", "no"]) == "no to 1 that waits"


REFUSED = {
    "no word": (["1", "maybe"], "'maybe' is no answer; there are: once, hour, always, no, never"),
    "no number": (["one", "once"], "'one' is not a number"),
    "digits of another script": (["١", "once"], "'١' is not a number"),
    "a number of nothing": (["7", "once"], "Nobody asks 7, or any more: they left, or it is ans"),
}


@pytest.mark.parametrize(("words", "why"), REFUSED.values(), ids=REFUSED)
def test_refused(words: list[str], why: str) -> None:
    proxy = Proxy()
    with pytest.raises(CommandFailed, match=why):
        asks.answer(proxy, words)
    assert len(list(proxy.asks.inquiries())) == 1


def test_nothing_to_take_back() -> None:
    with pytest.raises(CommandFailed, match="No answer 1 stands"):
        asks.forget(Proxy(), ["1"])


def test_no_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    monkeypatch.setattr(answers, "KEPT", 0)
    with pytest.raises(CommandFailed, match="0 answers are kept already"):
        asks.answer(proxy, ["1", "never"])
    assert len(list(proxy.asks.inquiries())) == 1  # still to be answered
