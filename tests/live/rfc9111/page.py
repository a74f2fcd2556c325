"""``docs/rfc9111.rst``, made from the table.

``PYTHONPATH=tests/live python -m rfc9111.page > docs/rfc9111.rst`` makes it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rfc9111.subjects import SUBJECTS, Subject
from rfc9111.table import MAY, MUST, MUST_NOT, SHOULD, SHOULD_NOT, About, Like, Row, Step, Wanted

HEAD = """\
What caches must do, and what ours does
#######################################

.. Made by ``python -m rfc9111.page`` in ``tests/live``: change the table there, then run that.

Each row is a sentence of an RFC in our words, its section, how strongly it is meant (RFC 2119),
and the test that shows it. All rows are held against the running program, through its reverse and
through its forward proxy, by a real client and an origin that is told what to answer::

    python -m pytest tests/live/rfc9111                  # all, in seconds
    python -m pytest tests/live/rfc9111 -k no_store      # some

The RFCs are 9110 (HTTP), 9111 (caching), 9112 (HTTP/1.1), 5861 (serving stale), 6585 (more
statuses), 8246 (immutable), 9211 (Cache-Status), 9213 (targeted fields), 9651 (structured fields),
and the QUERY method (draft-ietf-httpbis-safe-method-w-body). Where a MAY is not taken, or a
sentence can be read in two ways, the row says what we do.

Below each requirement is what is sent and seen. *origin* is what the origin answers, *stored* an
answer that came before, *confirmed* one that the origin was asked about; ``{now-60}`` is a date,
sixty seconds before the test.
"""

#: Longer values are only hinted at.
LONGEST = 120

LEVELS = (MUST, MUST_NOT, SHOULD, SHOULD_NOT, MAY)


def page() -> str:
    return "\n".join([HEAD, *_summary(), *(line for part in SUBJECTS for line in _part(part))])


def _summary() -> Iterator[str]:
    rows = [row for subject in SUBJECTS for row in subject.rows]
    yield ".. list-table::\n   :header-rows: 1\n"
    yield _cells("RFC", *LEVELS)
    for rfc in sorted({_rfc(row) for row in rows}):
        counts = Counter(row.level for row in rows if _rfc(row) == rfc)
        yield _cells(rfc, *(str(counts[level] or "") for level in LEVELS))
    counts = Counter(row.level for row in rows)
    yield _cells("All", *(str(counts[level]) for level in LEVELS))
    yield "\n.. contents::\n   :local:\n"


def _rfc(row: Row) -> str:
    return row.section.partition(" ")[0]


def _part(subject: Subject) -> Iterator[str]:
    yield f"\n{subject.title}\n{'=' * len(subject.title)}\n"
    yield ".. list-table::\n   :header-rows: 1\n   :widths: 12 10 78\n"
    yield _cells("RFC", "Level", "Requirement, and the test that shows it")
    for row in subject.rows:
        yield _cells(row.section, row.level, f"{_escaped(row.text)} ``{row.name}``")
        if row.remark:
            yield f"\n       *{_escaped(row.remark)}*"
        yield "\n" + "\n".join(f"       | {_step(step)}" for step in row.steps) + "\n"


def _cells(*cells: str) -> str:
    lines = (f"   {' ' if n else '*'} - {cell}" for n, cell in enumerate(cells))
    return "\n".join(line.rstrip() for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("*", r"\*").replace("`", r"\`").replace("|", r"\|")


def _step(step: Step) -> str:
    return f"{_request(step)} → {_result(step)}"


def _request(step: Step) -> str:
    said = [f"{step.after:g} s later:"] if step.after else []
    said += [f"{step.together} at once:"] if step.together > 1 else []
    said += ["at once, each with one:" for _ in step.crowd[:1]]
    said += [_literal(f"{step.method} {step.path}".strip()), *map(_literal, step.lines)]
    said += [_literal(line) for own in step.crowd for line in own]
    said += [f"with {_literal(step.content)}"] if step.content else []
    return " ".join(said)


def _result(step: Step) -> str:
    answer = step.answer
    if answer.status == 0:
        origin = "the origin closes the connection"
    elif answer.status < 0:
        origin = "the origin is down"
    else:
        heads = [_literal(head.partition("\r\n")[0]) for head in answer.interim]
        said = ["origin:", *heads, str(answer.status), *map(_literal, answer.lines)]
        origin = " ".join(said)
        origin += " in chunks" if answer.chunked else ""
        origin += ", broken off" if answer.cut else ""
    if step.asked == "no":
        said = [f"stored: step {step.of}" if step.of else "nobody is asked"]
    elif step.asked == "later":
        said = [f"stored: step {step.of}; then {origin}"]
    elif step.of and answer.status == 304:
        said = [f"confirmed: step {step.of}; {origin}"]
    elif step.of:
        said = [f"{origin}; stored: step {step.of}"]
    else:
        said = [origin]
    if step.times is not None:
        said.append(f"asked {step.times} times")
    if step.got:
        said.append(f"which got {_fields(step.got)}")
    if step.status is not None:
        said.append(f"the client gets {step.status}" if step.status else "the client gets no whole")
    if step.shows:
        said.append(f"the client sees {_fields(step.shows)}")
    return "; ".join(said)


def _fields(wanted: Mapping[str, Wanted]) -> str:
    return ", ".join(_field(name, value) for name, value in wanted.items())


def _field(name: str, wanted: Wanted) -> str:
    name = "-".join(part.capitalize() for part in name.split("-"))
    match wanted:
        case None:
            return f"no {_literal(name)}"
        case About():
            return _literal(f"{name}: {wanted.seconds}")
        case Like():
            return f"{_literal(name)} like {_literal(wanted.pattern)}"
        case str():
            return _literal(f"{name}: {wanted}")


def _literal(text: str) -> str:
    text = text.strip()
    if len(text) > LONGEST:
        text = f"{text[:20]}… ({len(text)} characters)"
    return f"``{text}``" if text else ""


if __name__ == "__main__":
    print(page(), end="")
