"""What waits for an operator: the action `ask`.

    ask ─┬─ an answer stands, or too many wait ─▶ Answer, in the same call
         └─ Waiting ─┬─ the operator answers ─────────────┐
                     ├─ nobody does, until the deadline ──┤─▶ Waiter.answered
                     ├─ the policy is reloaded ───────────── ▶ Waiter.reconsider
                     └─ the exchange leaves

Equal questions are one, with several who wait. One that nobody answered in time can still be
answered for the next time. All who wait hear of it a few at a time: what they then do (a dial, a
page) takes longer than the console may.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, Final, Literal, Protocol, get_args

from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistproxy.config.model import Ask
from twistproxy.net.sweep import Sweep
from twistproxy.policy import Question
from twistproxy.policy.answers import Access, Answers, Standing
from twistproxy.tables import table

_log = Logger()

#: Exchanges that wait, in all and of one client's address.
WAITING: Final = 1000
PER_CLIENT: Final = 100
#: Questions that nobody answered in time, and that can still be answered.
MISSED: Final = 100
#: Those who wait that are told in one turn of the reactor.
AT_ONCE: Final = 32
#: Seconds in which new questions become one notice, and how many it names.
GATHERED: Final = 1.0
NAMED: Final = 3
#: Questions that a person is shown.
_ROWS: Final = 1000
_HOUR: Final = 3600.0

#: What an operator can say. once, no: to those who wait now. always, never: until taken back.
Word = Literal["once", "hour", "always", "no", "never"]
WORDS: Final[tuple[Word, ...]] = get_args(Word)
_ALLOW: Final = ("once", "hour", "always")
_STAY: Final = ("hour", "always", "never")

#: Why an answer is what it is: what was said, or what kept anybody from saying something.
Why = Literal[Word, "unanswered", "full"]
TEXTS: Final[Mapping[Why, str]] = {
    "once": "an operator was asked, and allowed it once",
    "hour": "an operator has allowed it for an hour",
    "always": "an operator has allowed it",
    "no": "an operator was asked, and said no",
    "never": "an operator has said no to it",
    "unanswered": "an operator was asked, and did not answer in time",
    "full": "an operator would have to be asked, who is asked too much already",
}


@frozen
class Answer:
    """What becomes of an exchange that had to ask."""

    allowed: bool
    why: Why

    @property
    def text(self) -> str:
        """Why, for a person: a clause."""
        return TEXTS[self.why]


class Waiter(Protocol):
    """An exchange that waits: one of these is called, once, unless it leaves before."""

    def answered(self, answer: Answer) -> None: ...

    def reconsider(self) -> None:
        """There is another policy: ask that. If it says to ask again, `Waiting.since` goes on."""


class NotAsked(LookupError):
    """Nothing of that number can be answered."""


@define(eq=False)
class Inquiry:
    """One question. since: when it was first asked, seconds of the epoch. unanswered: how many
    have waited in vain. announced: a notice has named it.
    """

    number: int
    access: Access
    since: float
    waiting: dict[Waiting, None] = Factory(dict)
    unanswered: int = 0
    announced: bool = False


@define(eq=False, repr=False)
class Waiting:
    """One exchange's wait. since: when that began, on the sweep's clock."""

    since: float
    deadline: float
    _parked: Parked
    _client: str
    _default: bool
    # Both None when it is over: an exchange that holds this must be free of us.
    _inquiry: Inquiry | None
    _waiter: Waiter | None
    _answer: Answer | None = None
    _queued: bool = False

    def leave(self) -> None:
        """The exchange is over: it hears nothing any more."""
        if self._waiter is not None:
            self._parked._leave(self)

    def expired(self) -> None:
        self._parked._expired(self)


@define
class Counts:
    """Since the start, of exchanges. standing: answered by what was said before."""

    answered: int = 0
    standing: int = 0
    unanswered: int = 0
    left: int = 0
    full: int = 0


@define(eq=False, repr=False)
class Parked:
    """All that wait, and how an operator answers them.

    wall: seconds of the epoch. later: has a function called in the reactor's next turn. notice:
    told in a line or a few when something new waits. `answers.load` is called by who starts it.
    """

    answers: Answers
    _sweep: Sweep
    _wall: Callable[[], float]
    _later: Callable[[Callable[[], None]], object]
    notice: Callable[[str], object] = field(default=lambda text: None)
    counts: Counts = field(init=False, factory=Counts)
    deadline: float = field(init=False, default=inf)  # of the next notice
    _open: dict[Access, Inquiry] = field(init=False, factory=dict)
    _missed: dict[Access, Inquiry] = field(init=False, factory=dict)  # the latest last
    _clients: Counter[str] = field(init=False, factory=Counter)  # who waits, by address
    _waiting: int = field(init=False, default=0)
    _queue: deque[Waiting] = field(init=False, factory=deque)  # who is to be told
    _telling: bool = field(init=False, default=False)
    _draining: bool = field(init=False, default=False)

    def __len__(self) -> int:
        """How many exchanges wait."""
        return self._waiting

    # -- the road's -------------------------------------------------------------------

    def ask(
        self,
        question: Question,
        side: str,
        rule: str,
        terms: Ask,
        waiter: Waiter,
        since: float | None = None,
    ) -> Answer | Waiting:
        """Ask an operator, by that rule; an `Answer` where none has to be waited for.

        since: of the `Waiting` before, for who was told to reconsider.
        """
        access = Access.of(question, side, rule)
        standing = self.answers.get(access)
        if standing is not None:
            self.counts.standing += 1
            return Answer(standing.allowed, standing.word)
        client, default = question.client, terms.default == "allow"
        if self._draining:
            self.counts.unanswered += 1
            return Answer(default, "unanswered")
        if self._waiting >= WAITING or self._clients[client] >= PER_CLIENT:
            self.counts.full += 1
            return Answer(default, "full")
        inquiry = self._open.get(access)
        if inquiry is None:
            if access in self._missed:
                inquiry = self._missed.pop(access)
            else:
                inquiry = Inquiry(self.answers.number(), access, self._wall())
            self._open[access] = inquiry
            if self.deadline == inf:
                self.deadline = self._sweep.now + GATHERED
                self._sweep.watch(self)
        now = self._sweep.now
        began = now if since is None else since
        waiting = Waiting(began, began + terms.timeout, self, client, default, inquiry, waiter)
        inquiry.waiting[waiting] = None
        self._waiting += 1
        self._clients[client] += 1
        self._sweep.watch(waiting)
        return waiting

    def reconsider(self) -> None:
        """The policy is another one: it decides about all who wait."""
        for inquiry in self._open.values():
            for waiting in inquiry.waiting:
                self._tell_soon(waiting)

    def drain(self) -> None:
        """The process is about to end: nobody is waited for any more."""
        self._draining = True
        for inquiry in list(self._open.values()):
            for waiting in list(inquiry.waiting):
                self._expired(waiting)

    # -- the operator's ---------------------------------------------------------------

    def answer(self, number: int, word: Word) -> int:
        """How many exchanges that answers. Raises `NotAsked`, `answers.Full`."""
        if word not in WORDS:
            raise ValueError(f"{word!r} is none of {', '.join(WORDS)}")
        inquiry = self._find(number)
        access = inquiry.access
        if word == "once" and not inquiry.waiting:
            raise NotAsked(f"Nobody waits for {number} any more: hour or always, for the next.")
        allowed = word in _ALLOW
        if word in _STAY:
            now = self._wall()
            until = now + _HOUR if word == "hour" else None
            self.answers.keep(number, Standing(access, allowed, now, until))
        self._open.pop(access, None)
        self._missed.pop(access, None)
        for waiting in inquiry.waiting:
            waiting._inquiry = None
            waiting._answer = Answer(allowed, word)
            self._tell_soon(waiting)
        _log.info(
            "An operator says {word} to {number}: {who} → {where} ({rule})",
            word=word,
            number=number,
            who=access.who,
            where=access.where,
            rule=access.rule,
        )
        count = len(inquiry.waiting)
        inquiry.waiting.clear()
        return count

    def forget(self, number: int) -> Standing:
        """Take back an answer that stands. Raises `NotAsked`."""
        standing = self.answers.forget(number)
        if standing is None:
            raise NotAsked(f"No answer {number} stands.")
        return standing

    def inquiries(self) -> Iterator[Inquiry]:
        """Those that can be answered: that nobody waits for any more, then the others."""
        yield from self._missed.values()
        yield from self._open.values()

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        counts = self.counts
        return {
            "waiting": self._waiting,
            "answers": len(self.answers),
            "trouble": self.answers.trouble,
            "answered": counts.answered,
            "standing": counts.standing,
            "unanswered": counts.unanswered,
            "left": counts.left,
            "full": counts.full,
            "questions": [
                {
                    "number": inquiry.number,
                    "who": inquiry.access.who,
                    "where": inquiry.access.where,
                    "rule": inquiry.access.rule,
                    "side": inquiry.access.side,
                    "since": inquiry.since,
                    "waiting": len(inquiry.waiting),
                    "unanswered": inquiry.unanswered,
                }
                for inquiry in self.inquiries()
            ],
        }

    def __repr__(self) -> str:
        now = self._wall()
        rows: list[tuple[object, ...]] = [
            (
                inquiry.number,
                inquiry.access.who,
                inquiry.access.where,
                inquiry.access.rule,
                inquiry.access.side,
                f"{max(0, round(now - inquiry.since))} s ago",
                len(inquiry.waiting),
                inquiry.unanswered,
            )
            for inquiry in list(self.inquiries())[-_ROWS:]
        ]
        if not rows:
            return "nobody asks"
        head = ("number", "who", "where", "rule", "side", "asked", "waiting", "unanswered")
        return table(head, rows)

    def close(self) -> Deferred[None]:
        """Announce nothing any more; fires when what was answered is written."""
        self._sweep.forget(self)
        return self.answers.close()

    # -- within -----------------------------------------------------------------------

    def _find(self, number: int) -> Inquiry:
        for inquiry in self.inquiries():
            if inquiry.number == number:
                return inquiry
        raise NotAsked(f"Nobody asks {number}, or any more: they left, or it is answered.")

    def _leave(self, waiting: Waiting) -> None:
        self.counts.left += 1
        self._end(waiting)
        self._detach(waiting)

    def _expired(self, waiting: Waiting) -> None:
        inquiry = waiting._inquiry
        if inquiry is None:
            return  # the answer is on its way
        self.counts.unanswered += 1
        inquiry.unanswered += 1
        waiting._answer = Answer(waiting._default, "unanswered")
        self._detach(waiting)
        self._tell_soon(waiting)

    def _detach(self, waiting: Waiting) -> None:
        """It asks no more; a question that nobody asks is forgotten, or missed."""
        inquiry, waiting._inquiry = waiting._inquiry, None
        if inquiry is None:
            return
        del inquiry.waiting[waiting]
        if inquiry.waiting:
            return
        del self._open[inquiry.access]
        if inquiry.unanswered:
            inquiry.announced = False
            self._missed[inquiry.access] = inquiry
            if len(self._missed) > MISSED:
                del self._missed[next(iter(self._missed))]

    def _end(self, waiting: Waiting) -> None:
        """It waits no more."""
        self._sweep.forget(waiting)
        waiting._waiter = None
        self._waiting -= 1
        self._clients[waiting._client] -= 1
        if not self._clients[waiting._client]:
            del self._clients[waiting._client]

    def _tell_soon(self, waiting: Waiting) -> None:
        if waiting._queued:
            return
        waiting._queued = True
        self._queue.append(waiting)
        if not self._telling:
            self._telling = True
            self._later(self._tell)

    def _tell(self) -> None:
        queue = self._queue
        for _ in range(min(AT_ONCE, len(queue))):
            waiting = queue.popleft()
            waiter, answer = waiting._waiter, waiting._answer
            if waiter is None:
                continue  # it left
            self._end(waiting)
            try:
                if answer is None:
                    waiter.reconsider()
                else:
                    self.counts.answered += answer.why != "unanswered"
                    waiter.answered(answer)
            except Exception:
                _log.failure("An exchange failed at what an operator answered")
            self._detach(waiting)  # only now: if it asks again, it is the same question
        self._telling = bool(queue)
        if queue:
            self._later(self._tell)

    def expired(self) -> None:
        """Say what is new: a burst of questions is one notice."""
        self._sweep.forget(self)
        new = [inquiry for inquiry in self._open.values() if not inquiry.announced]
        if not new:
            return
        for inquiry in new:
            inquiry.announced = True
        lines = [
            f"ask {inquiry.number}: {inquiry.access.who} → {inquiry.access.where}"
            f" ({inquiry.access.rule})"
            for inquiry in new[:NAMED]
        ]
        if len(new) > NAMED:
            lines.append(f"… and {len(new) - NAMED} more")
        lines.append(f"`answer NUMBER {'|'.join(WORDS)}`; `asks` shows all that wait")
        for line in lines[:-1]:
            _log.info("{line}", line=line)
        self.notice("\n".join(lines))
