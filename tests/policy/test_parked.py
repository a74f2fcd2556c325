"""parked: who waits for an operator, how they hear, and that nobody waits for ever."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from questions import ask as about
from questions import connect
from twistproxy.net.sweep import Sweep
from twistproxy.policy import Question, parked
from twistproxy.policy.answers import Access, Answers
from twistproxy.policy.parked import TEXTS, WORDS, Answer, NotAsked, Parked, Waiting, Word

EPOCH = 1_700_000_000.0


@frozen
class Terms:
    timeout: float = 30.0
    default: str = "deny"


def kept_nowhere(clock: Clock) -> Answers:
    """Standing answers whose file is never written."""
    return Answers(Path("nowhere"), lambda work: succeed(None), lambda: EPOCH + clock.seconds())


class House:
    """Parked exchanges on a clock of their own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sweep = Sweep(self.clock)  # type: ignore[arg-type]
        self.sweep.start()
        self.notices: list[str] = []
        self.later: list[Callable[[], None]] = []
        self.parked = Parked(
            kept_nowhere(self.clock),
            self.sweep,
            lambda: EPOCH + self.clock.seconds(),
            self.later.append,
            self.notices.append,
        )

    def turn(self) -> None:
        """One of the reactor's."""
        later, self.later[:] = self.later[:], []
        for each in later:
            each()

    def turns(self) -> None:
        """As many as it takes until everybody is told."""
        while self.later:
            self.turn()

    def pass_(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.turns()

    def ask(self, url: str = "http://a.test/", **others: Any) -> Exchange:
        return Exchange(self, about(url, **others))


class Exchange:
    """Notes what becomes of it."""

    def __init__(self, house: House, question: Question, terms: Terms | None = None) -> None:
        self.house, self.question, self.terms = house, question, terms or Terms()
        self.became: list[Answer | str] = []
        self.waiting: Waiting | None = None
        self.ask()

    def ask(self) -> None:
        since = self.waiting.since if self.waiting else None
        found = self.house.parked.ask(self.question, "forward", "new", self.terms, self, since)
        if isinstance(found, Waiting):
            self.waiting = found
        else:
            self.became.append(found)

    def answered(self, answer: Answer) -> None:
        self.became.append(answer)

    def reconsider(self) -> None:
        self.became.append("reconsiders")


def only_of(house: House, host: str) -> int:
    """The number of the only question about a host."""
    (number,) = [each.number for each in house.parked.inquiries() if each.access.host == host]
    return number


def only(house: House) -> int:
    """The number of the only question."""
    (inquiry,) = house.parked.inquiries()
    return inquiry.number


# -- answers --------------------------------------------------------------------------------

SAID: dict[Word, tuple[bool, bool]] = {  # allowed now; whether it stands
    "once": (True, False),
    "hour": (True, True),
    "always": (True, True),
    "no": (False, False),
    "never": (False, True),
}


@pytest.mark.parametrize(("word", "allowed", "stands"), [(w, *s) for w, s in SAID.items()])
def test_answered(word: Word, allowed: bool, stands: bool) -> None:
    house = House()
    first, second = house.ask("http://a.test/x"), house.ask("http://a.test/y")
    other = house.ask("http://b.test/")
    number = next(iter(house.parked.inquiries())).number
    assert house.parked.answer(number, word) == 2
    assert first.became == []  # told in a turn of its own
    house.turns()
    assert first.became == second.became == [Answer(allowed, word)]
    assert other.became == []
    later = house.ask("http://a.test/z")
    assert later.became == ([Answer(allowed, word)] if stands else [])


def test_all_that_can_be_said_is_shown_above() -> None:
    assert tuple(SAID) == WORDS
    assert {*WORDS, "unanswered", "full"} == set(TEXTS)
    assert Answer(False, "no").text == "an operator was asked, and said no"


def test_an_hour_is_an_hour() -> None:
    house = House()
    house.ask()
    house.parked.answer(only(house), "hour")
    house.pass_(3599)
    assert house.ask().became == [Answer(True, "hour")]
    house.pass_(1)
    assert house.ask().became == []


def test_what_stands_is_taken_back() -> None:
    house = House()
    house.ask()
    number = only(house)
    house.parked.answer(number, "never")
    assert house.parked.forget(number).word == "never"
    house.turns()
    assert house.ask().became == []
    with pytest.raises(NotAsked, match=f"No answer {number} stands"):
        house.parked.forget(number)


SAME = {
    "another path": (about("http://a.test/x"), about("http://a.test/y?q"), True),
    "another method": (about("http://a.test/"), about("http://a.test/", method="PUT"), True),
    "another host": (about("http://a.test/"), about("http://b.test/"), False),
    "another scheme": (about("http://a.test:443/"), about("https://a.test/"), False),
    "a tunnel": (about("https://a.test/"), connect("a.test:443"), False),
    "another port": (about("http://a.test/"), about("http://a.test:81/"), False),
    "another client": (about("http://a.test/"), about("http://a.test/", client="::1"), False),
    "another client of a user": (
        about("http://a.test/", user="ann"),
        about("http://a.test/", user="ann", client="::1"),
        True,
    ),
    "a user called as the client": (
        about("http://a.test/"),
        about("http://a.test/", user="192.0.2.1"),
        False,
    ),
}


@pytest.mark.parametrize(("one", "other", "same"), SAME.values(), ids=SAME)
def test_equal_questions_are_one(one: Question, other: Question, same: bool) -> None:
    house = House()
    Exchange(house, one)
    Exchange(house, other)
    assert len(list(house.parked.inquiries())) == (1 if same else 2)


def test_another_side_or_rule_is_another_question() -> None:
    question = about("http://a.test/")
    asked = {Access.of(question, side, name) for side in "fr" for name in "xy"}
    assert len(asked) == 4


# -- nobody answers --------------------------------------------------------------------------


@pytest.mark.parametrize("default", ["allow", "deny"])
def test_in_time_or_the_default(default: str) -> None:
    house = House()
    first = Exchange(house, about("http://a.test/"), Terms(30, default))
    house.pass_(20)
    second = Exchange(house, about("http://a.test/"), Terms(30, default))
    house.pass_(9.5)
    assert first.became == []
    house.pass_(0.5)
    assert first.became == [Answer(default == "allow", "unanswered")]
    assert second.became == []
    house.pass_(20)
    assert second.became == first.became


def test_an_answer_that_comes_too_late_is_for_the_next() -> None:
    house = House()
    late = house.ask()
    house.pass_(30)
    number = only(house)
    with pytest.raises(NotAsked, match="Nobody waits for"):
        house.parked.answer(number, "once")
    assert house.parked.answer(number, "always") == 0
    assert late.became == [Answer(False, "unanswered")]
    assert house.ask().became == [Answer(True, "always")]
    assert list(house.parked.inquiries()) == []


def test_asked_again_it_keeps_its_number() -> None:
    house = House()
    house.ask()
    house.pass_(30)
    number = only(house)
    again = house.ask()
    assert only(house) == number
    house.parked.answer(number, "once")
    house.turns()
    assert again.became == [Answer(True, "once")]


def test_no_lets_a_missed_question_go() -> None:
    house = House()
    house.ask()
    house.pass_(30)
    assert house.parked.answer(only(house), "no") == 0
    assert list(house.parked.inquiries()) == []


def test_only_the_latest_that_were_missed_are_remembered() -> None:
    house = House()
    for number in range(parked.MISSED + 2 + 30):
        if number < parked.MISSED + 2:
            house.ask(f"http://{number}.test/")
        house.pass_(1)
    hosts = [inquiry.access.host for inquiry in house.parked.inquiries()]
    assert hosts == [f"{number}.test" for number in range(2, parked.MISSED + 2)]


# -- who leaves ------------------------------------------------------------------------------


def leave(exchange: Exchange) -> None:
    assert exchange.waiting is not None
    exchange.waiting.leave()


def test_who_left_is_forgotten() -> None:
    house = House()
    first, second = house.ask(), house.ask()
    leave(first)
    leave(first)
    number = only(house)
    assert house.parked.answer(number, "once") == 1
    house.turns()
    assert (first.became, second.became) == ([], [Answer(True, "once")])


def test_what_nobody_asks_any_more_is_no_question() -> None:
    house = House()
    gone = house.ask()
    number = only(house)
    leave(gone)
    with pytest.raises(NotAsked, match=f"Nobody asks {number}"):
        house.parked.answer(number, "always")
    assert len(house.parked) == 0


def test_who_leaves_between_answer_and_hearing_it_hears_nothing() -> None:
    house = House()
    gone = house.ask()
    house.parked.answer(only(house), "once")
    leave(gone)
    house.turns()
    assert gone.became == []
    assert len(house.parked) == 0


def test_an_answer_comes_before_the_deadline_that_passes_meanwhile() -> None:
    house = House()
    waits = [house.ask() for _ in range(parked.AT_ONCE + 1)]
    house.parked.answer(only(house), "once")
    house.pass_(30)
    assert {answer for each in waits for answer in each.became} == {Answer(True, "once")}


def test_one_that_fails_keeps_nobody_from_hearing() -> None:
    house = House()
    first, second = house.ask(), house.ask()
    first.answered = lambda answer: 1 / 0  # type: ignore[method-assign,assignment]
    house.parked.answer(only(house), "no")
    with capturedLogs() as logged:
        house.turns()
    assert [type(event["log_failure"].value) for event in logged] == [ZeroDivisionError]
    assert second.became == [Answer(False, "no")]


def test_they_hear_a_few_in_a_turn() -> None:
    house = House()
    waits = [house.ask() for _ in range(parked.PER_CLIENT)]
    house.parked.answer(only(house), "once")
    house.turn()
    assert sum(len(each.became) for each in waits) == parked.AT_ONCE


def test_who_is_over_is_held_by_nothing() -> None:
    """The garbage collector rarely comes: no cycle may be left."""
    house = House()
    gc.disable()
    try:
        for end in ("answered", "left", "unanswered", "reloaded"):
            exchange = house.ask()
            held = weakref.ref(exchange)
            if end == "answered":
                house.parked.answer(only(house), "once")
            elif end == "left":
                leave(exchange)
            elif end == "reloaded":
                house.parked.reconsider()
            else:
                house.pass_(30)
            house.turns()
            del exchange
            assert held() is None, end
            for inquiry in list(house.parked.inquiries()):
                house.parked.answer(inquiry.number, "no")
    finally:
        gc.enable()


# -- a reload --------------------------------------------------------------------------------


def test_a_reload_has_them_ask_the_new_policy() -> None:
    house = House()
    waits = [house.ask(), house.ask("http://b.test/")]
    house.parked.reconsider()
    house.turns()
    assert [each.became for each in waits] == [["reconsiders"]] * 2
    assert (len(house.parked), list(house.parked.inquiries())) == (0, [])


def test_who_has_to_ask_again_waits_no_longer_for_it() -> None:
    house = House()
    waits = house.ask()
    waits.reconsider = waits.ask  # type: ignore[method-assign]
    number = only(house)
    for _ in range(2):
        house.pass_(10)
        house.parked.reconsider()
        house.parked.reconsider()
        house.turns()
    assert only(house) == number
    house.pass_(9.75)
    assert waits.became == []
    house.pass_(0.25)
    assert waits.became == [Answer(False, "unanswered")]


def test_many_reloads_at_once_are_one() -> None:
    house = House()
    waits = house.ask()
    for _ in range(3):
        house.parked.reconsider()
    assert len(house.parked._queue) == 1
    house.turns()
    assert waits.became == ["reconsiders"]


def test_an_answer_after_the_reload_is_for_who_has_not_reconsidered_yet() -> None:
    house = House()
    waits = house.ask()
    house.parked.reconsider()
    house.parked.answer(only(house), "once")
    house.turns()
    assert waits.became == [Answer(True, "once")]


def test_who_drains_waits_for_nobody() -> None:
    house = House()
    waits = [house.ask(), house.ask(), house.ask("http://b.test/")]
    house.parked.answer(only_of(house, "b.test"), "once")
    house.parked.drain()
    house.turns()
    gone = Answer(False, "unanswered")
    assert [each.became for each in waits] == [[gone], [gone], [Answer(True, "once")]]
    assert house.ask().became == [gone]
    assert len(house.parked) == 0


# -- bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("default", ["allow", "deny"])
def test_one_too_many_of_a_client(default: str) -> None:
    house = House()
    waits = [house.ask(user=str(each)) for each in range(parked.PER_CLIENT)]
    much = Exchange(house, about("http://b.test/"), Terms(default=default))
    assert much.became == [Answer(default == "allow", "full")]
    assert house.ask(client="::1").became == []
    leave(waits[0])
    assert house.ask().became == []


def test_one_too_many_in_all() -> None:
    house = House()
    for each in range(parked.WAITING):
        assert house.ask(client=f"10.0.{each // 256}.{each % 256}").became == []
    assert house.ask(client="::1").became == [Answer(False, "full")]
    assert len(house.parked) == parked.WAITING


# -- what an operator sees -------------------------------------------------------------------


def test_the_table() -> None:
    house = House()
    assert repr(house.parked) == "nobody asks"
    house.ask("https://a.test/", user="ann")
    house.pass_(30)
    house.ask("http://b.test:81/", client="")
    Exchange(house, connect("[::1]:443"))
    house.pass_(12)
    assert repr(house.parked).splitlines() == [
        "number  who            where             rule  side     asked     waiting  unanswered",
        "     1  ann            https://a.test    new   forward  42 s ago        0           1",
        "     2  a unix socket  http://b.test:81  new   forward  12 s ago        1           0",
        "     3  192.0.2.1      [::1]:443         new   forward  12 s ago        1           0",
    ]


def test_the_snapshot() -> None:
    house = House()
    house.ask()
    house.parked.answer(only(house), "always")
    house.turns()
    house.ask()
    leave(house.ask("http://b.test/"))
    house.ask("http://c.test/")
    house.pass_(30)
    house.ask("http://c.test/")
    assert house.parked.snapshot() == {
        "waiting": 1,
        "answers": 1,
        "trouble": "",
        "answered": 1,
        "standing": 1,
        "unanswered": 1,
        "left": 1,
        "full": 0,
        "questions": [
            {
                "number": 3,
                "who": "192.0.2.1",
                "where": "http://c.test",
                "rule": "new",
                "side": "forward",
                "since": EPOCH,
                "waiting": 1,
                "unanswered": 1,
            }
        ],
    }


def test_what_is_new_is_announced_together_and_once() -> None:
    house = House()
    leave(house.ask("http://gone.test/"))
    for name in "abcde":
        house.ask(f"http://{name}.test/")
    house.pass_(1)
    (notice,) = house.notices
    assert notice.splitlines() == [
        "ask 2: 192.0.2.1 → http://a.test (new)",
        "ask 3: 192.0.2.1 → http://b.test (new)",
        "ask 4: 192.0.2.1 → http://c.test (new)",
        "… and 2 more",
        "`answer NUMBER once|hour|always|no|never`; `asks` shows all that wait",
    ]
    house.ask("http://a.test/")
    house.pass_(2)
    assert len(house.notices) == 1
    house.pass_(30)  # nobody waits any more
    house.ask("http://a.test/")
    house.pass_(1)
    assert house.notices[1].startswith("ask 2: ")


def test_who_left_is_not_announced() -> None:
    house = House()
    leave(house.ask())
    house.pass_(1)
    assert house.notices == []


def test_a_word_that_is_none_changes_nothing() -> None:
    house = House()
    house.ask()
    with pytest.raises(ValueError, match="'maybe' is none of once, "):
        house.parked.answer(only(house), "maybe")  # type: ignore[arg-type]
    assert len(house.parked) == 1


def test_closed_it_announces_nothing() -> None:
    house = House()
    leave(house.ask())
    assert len(house.sweep) == 1
    assert house.parked.close().called
    assert len(house.sweep) == 0


# -- a model ---------------------------------------------------------------------------------

CLIENTS = ("192.0.2.1", "192.0.2.2", "")
USERS = (None, None, "ann")
HOSTS = ("a.test", "b.test")
RULES = {"slow": Terms(30, "deny"), "quick": Terms(5, "allow")}


class Told:
    """An exchange. became: at most one thing."""

    def __init__(self, machine: Machine, question: Question, name: str) -> None:
        self.machine, self.question, self.name = machine, question, name
        self.became: list[object] = []
        self.waiting: Waiting | None = None

    def ask(self) -> None:
        since = self.waiting.since if self.waiting else None
        parked_ = self.machine.house.parked
        found = parked_.ask(self.question, "forward", self.name, RULES[self.name], self, since)
        if isinstance(found, Waiting):
            self.waiting = found
        else:
            self.answered(found)

    def answered(self, answer: Answer) -> None:
        self.became.append((answer.allowed, answer.why))

    def reconsider(self) -> None:
        if self.name in self.machine.rules:
            self.ask()
        else:
            self.became.append("by the policy")


class Waits:
    """What the model knows of one. due: what it will hear next; "ask again" after a reload."""

    def __init__(self, told: Told, access: Access, client: str, began: float) -> None:
        self.told, self.access, self.client, self.began = told, access, client, began
        self.due: object = None


class Machine(RuleBasedStateMachine):
    """Against a model that keeps lists and looks through all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        for name, value in {"WAITING": 5, "PER_CLIENT": 3, "MISSED": 2, "AT_ONCE": 2}.items():
            self.patches.setattr(parked, name, value)
        self.house = House()
        self.rules = set(RULES)
        self.all: list[Told] = []
        self.waits: list[Waits] = []
        self.due: list[Waits] = []  # in this order
        self.standing: dict[Access, tuple[bool, Word, float]] = {}
        self.missed: list[Access] = []
        self.unanswered: set[Access] = set()  # of those that wait
        self.expected: dict[Told, list[object]] = {}

    # What is to be:

    def now(self) -> float:
        return self.house.clock.seconds()

    def would_ask(self, told: Told, began: float) -> None:
        access = Access.of(told.question, "forward", told.name)
        client = told.question.client
        stands = self.standing.get(access)
        if stands is not None and self.now() < stands[2]:
            self.expected[told].append(stands[:2])
        elif len(self.waits) >= 5 or sum(each.client == client for each in self.waits) >= 3:
            self.expected[told].append((RULES[told.name].default == "allow", "full"))
        else:
            if access in self.missed:
                self.missed.remove(access)
                self.unanswered.add(access)
            self.waits.append(Waits(told, access, client, began))

    def asking(self, access: Access) -> list[Waits]:
        """Who counts for a question: also those who will have to ask again."""
        waits = [each for each in self.waits if each.access == access]
        return [each for each in waits if each.due in (None, "ask again")]

    def nobody_asks(self, access: Access) -> None:
        if self.asking(access):
            return
        if access in self.unanswered:
            self.unanswered.discard(access)
            self.missed = [*self.missed, access][-2:]

    def tell(self) -> None:
        due, self.due = self.due, []
        for each in due:
            if each not in self.waits:
                continue
            self.waits.remove(each)
            if each.due != "ask again":
                self.expected[each.told].append(each.due)
            elif each.told.name in self.rules:
                self.would_ask(each.told, each.began)
            else:
                self.expected[each.told].append("by the policy")
            if each.due == "ask again":
                self.nobody_asks(each.access)

    # What happens:

    @rule(
        client=st.sampled_from(CLIENTS),
        user=st.sampled_from(USERS),
        host=st.sampled_from(HOSTS),
        name=st.sampled_from(sorted(RULES)),
    )
    def ask(self, client: str, user: str | None, host: str, name: str) -> None:
        if name not in self.rules:
            return
        told = Told(self, about(f"http://{host}/", client=client, user=user), name)
        self.all.append(told)
        self.expected[told] = []
        self.would_ask(told, self.now())
        told.ask()

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.waits))
        self.waits.remove(gone)
        self.expected[gone.told].append("left")
        gone.told.became.append("left")
        assert gone.told.waiting is not None
        gone.told.waiting.leave()
        if gone.due in (None, "ask again"):
            self.nobody_asks(gone.access)

    @rule(data=st.data(), word=st.sampled_from(WORDS))
    def answer(self, data: st.DataObject, word: Word) -> None:
        inquiries = list(self.house.parked.inquiries())
        if not inquiries:
            return
        inquiry = data.draw(st.sampled_from(inquiries))
        access = inquiry.access
        waits = self.asking(access)
        if word == "once" and not waits:
            with pytest.raises(NotAsked):
                self.house.parked.answer(inquiry.number, word)
            return
        assert self.house.parked.answer(inquiry.number, word) == len(waits)
        allowed = word in ("once", "hour", "always")
        for each in waits:
            if each.due is None:
                self.due.append(each)
            each.due = (allowed, word)
        if word in ("hour", "always", "never"):
            until = self.now() + 3600 if word == "hour" else float("inf")
            self.standing[access] = (allowed, word, until)
        self.unanswered.discard(access)
        if access in self.missed:
            self.missed.remove(access)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        stands = [access for access, (_, _, until) in self.standing.items() if self.now() < until]
        if stands:
            access = data.draw(st.sampled_from(stands))
            del self.standing[access]
            number, _ = self.house.parked.answers._standing[access]
            assert self.house.parked.forget(number).access == access

    @rule(names=st.sets(st.sampled_from(sorted(RULES))))
    def reload(self, names: set[str]) -> None:
        self.rules = names
        by_question: dict[Access, list[Waits]] = {}
        for each in self.waits:
            by_question.setdefault(each.access, []).append(each)
        for inquiry in list(self.house.parked.inquiries()):  # in the order of the questions
            for each in by_question.get(inquiry.access, ()):
                if each.due is None:
                    each.due = "ask again"
                    self.due.append(each)
        self.house.parked.reconsider()

    @rule()
    def turns(self) -> None:
        self.house.turns()
        self.tell()

    @rule(seconds=st.sampled_from([1, 4, 5, 10, 30, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.turns()
        self.house.clock.advance(seconds)
        late = [
            each for each in self.waits if each.began + RULES[each.told.name].timeout <= self.now()
        ]
        for each in late:
            each.due = (RULES[each.told.name].default == "allow", "unanswered")
            self.unanswered.add(each.access)
        gone = {each.access for each in late if not self.asking(each.access)}
        self.missed = [each for each in self.missed if each not in gone]
        # The order in which a tick finds them is nobody's business: nor is which two are kept.
        real = [inquiry.access for inquiry in self.house.parked._missed.values()]
        self.unanswered -= gone
        assert set(real) <= gone | set(self.missed)
        assert len(real) == min(2, len(gone) + len(self.missed))
        self.missed = real
        self.due = late
        self.turns()

    # What always holds:

    @invariant()
    def each_became_what_it_should(self) -> None:
        for told in self.all:
            assert told.became == self.expected[told]
            assert len(told.became) <= 1

    @invariant()
    def who_waits_is_bounded(self) -> None:
        house = self.house.parked
        assert len(house) == len(self.waits) <= 5
        assert max(house._clients.values(), default=0) <= 3
        assert sum(house._clients.values()) == len(house)
        announces = house.deadline < inf
        assert len(self.house.sweep) == announces + len(self.waits)

    @invariant()
    def there_are_the_questions_that_are_asked_or_missed(self) -> None:
        inquiries = list(self.house.parked.inquiries())
        assert len({inquiry.number for inquiry in inquiries}) == len(inquiries)
        asked = {each.access for each in self.waits if each.due in (None, "ask again")}
        assert {inquiry.access for inquiry in inquiries} == asked | set(self.missed)
        for inquiry in inquiries:
            assert len(inquiry.waiting) == len(self.asking(inquiry.access))

    def teardown(self) -> None:
        self.turns()
        self.house.pass_(30)
        assert all(len(told.became) == 1 for told in self.all)  # nobody waits for ever
        assert len(self.house.parked) == 0
        assert len(self.house.sweep) == 0
        self.patches.undo()


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
