"""The words in which the table is written: a row says what an RFC requires, and how it is seen.

A row is a conversation of a few steps. In each a client asks, the origin is told what it would
answer, and it is said what the client gets and whether the origin was asked:

    fetch(says("Cache-Control: max-age=60"))    the origin is asked, the client gets its answer
    hit()                                       the client gets what came in step 1; nobody asked
    confirm(says(status=304), ...)              the origin is asked whether step 1 still holds
    stale(...)                                  the client gets step 1, then the origin is asked
    fails(504)                                  the proxy answers by itself

In field lines stand for: ``{now}``, ``{now-60}``, ``{now+60 rfc850}``, ``{now asctime}`` a date,
counted from the row's beginning; ``{url}`` the row's own URL, ``{path}`` its path, ``{origin}`` the
scheme and authority before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from attrs import evolve, field, frozen

MUST, MUST_NOT, SHOULD, SHOULD_NOT, MAY = "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"


class Like(NamedTuple):
    """A value of which a regular expression finds something."""

    pattern: str

    def fits(self, value: str) -> bool:
        return re.search(self.pattern, value) is not None


class About(NamedTuple):
    """Whole seconds: as many, or a few more, since a busy machine is slow."""

    seconds: int

    def fits(self, value: str) -> bool:
        return value.isdigit() and self.seconds <= int(value) <= self.seconds + 6


#: What a field must be: exactly this, like that, or not there.
Wanted = str | Like | About | None


@frozen(kw_only=True)
class Answer:
    """What the origin is told. It sends Content-Length and Content-Type unless `lines` do.

    body: by default a text that names the step. status 0: it closes the connection unanswered;
    -1: it is gone, and refuses connections from now on.
    """

    lines: tuple[str, ...] = ()
    status: int = 200
    body: str | None = None
    interim: tuple[str, ...] = ()  # heads that it sends before, without their "HTTP/1.1"
    delay: float = 0.0  # seconds, before its head
    cut: bool = False  # it closes in the middle of the body
    chunked: bool = False
    trailers: tuple[str, ...] = ()


def says(*lines: str, status: int = 200, body: str | None = None, **more: object) -> Answer:
    return Answer(lines=lines, status=status, body=body, **more)  # type: ignore[arg-type]


CLOSES = Answer(status=0)
IS_DOWN = Answer(status=-1)


@frozen(kw_only=True)
class Step:
    """One request (or some at once), and what is seen of it."""

    answer: Answer = Answer(lines=("Cache-Control: no-store",))
    # the request
    method: str = "GET"
    lines: tuple[str, ...] = ()
    content: str = ""
    path: str = ""  # what follows the row's own path
    after: float = 0.0  # seconds that pass before
    together: int = 1  # clients that ask at once
    crowd: tuple[tuple[str, ...], ...] = ()  # likewise, with lines of their own
    # what is seen
    asked: Literal["yes", "no", "later"] = "yes"  # whether the origin is
    times: int | None = None  # how often, if not once
    of: int = 0  # the step whose answer the client gets; 0: this one
    status: int | None = None  # if not that of the answer; 0: no response at all
    body: str | Like | None = None  # likewise
    shows: Mapping[str, Wanted] = field(factory=dict)  # fields of the response
    got: Mapping[str, Wanted] = field(factory=dict)  # fields of the request at the origin
    asked_with: str = ""  # the method with which the origin is asked, if not the client's
    interim: tuple[int, ...] = ()


def fetch(answer: Answer | None = None, *lines: str, **more: object) -> Step:
    step = Step(lines=lines, **more)  # type: ignore[arg-type]
    return step if answer is None else evolve(step, answer=answer)


def hit(*lines: str, of: int = 1, **more: object) -> Step:
    return Step(lines=lines, of=of, asked="no", **more)  # type: ignore[arg-type]


def confirm(answer: Answer, *lines: str, of: int = 1, **more: object) -> Step:
    return Step(answer=answer, lines=lines, of=of, **more)  # type: ignore[arg-type]


def stale(answer: Answer, *lines: str, of: int = 1, **more: object) -> Step:
    return Step(answer=answer, lines=lines, of=of, asked="later", **more)  # type: ignore[arg-type]


def fails(status: int, *lines: str, **more: object) -> Step:
    return Step(lines=lines, status=status, asked="no", **more)  # type: ignore[arg-type]


@frozen(init=False)
class Row:
    """One requirement.

    name: unique, the test's. section: "9111 §5.2.2.5". level: of RFC 2119. text: what is
    required. remark: how we read it, or what we do in the place of a MAY that is not taken.
    alone: its origin is its own, since it will be seen failing.
    """

    name: str
    section: str
    level: str
    text: str
    steps: tuple[Step, ...]
    remark: str
    alone: bool

    def __init__(
        self, name: str, section: str, level: str, text: str, *steps: Step, remark: str = ""
    ) -> None:
        alone = any(step.answer.status <= 0 or step.answer.cut for step in steps)
        self.__attrs_init__(name, section, level, text, steps, remark, alone)


def reused(*lines: str, status: int = 200, body: str | None = None) -> tuple[Step, Step]:
    """What the origin answers so is a hit for whoever asks next."""
    return fetch(says(*lines, status=status, body=body)), hit()


def not_reused(*lines: str, status: int = 200, body: str | None = None) -> tuple[Step, Step]:
    """What the origin answers so is asked for again."""
    answer = says(*lines, status=status, body=body)
    return fetch(answer), fetch(answer)
