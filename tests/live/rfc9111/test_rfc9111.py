"""Every row of the table, through the running program: by its reverse and by its forward proxy."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Keep, Start
from rfc9111.conversation import AT_ONCE, Conversation, Told
from rfc9111.subjects import SUBJECTS
from rfc9111.table import MAY, MUST, MUST_NOT, SHOULD, SHOULD_NOT

ROWS = {f"{subject.name}-{row.name}": row for subject in SUBJECTS for row in subject.rows}
SIDES = ("reverse", "forward")

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
cloak = false

[[reverse.route]]
pool = "told"

[pools.told]
servers = ["http://127.0.0.1:$told"]
"""

# A row whose origin fails has one of its own: others would be told that theirs is down.
ALONE = """
[[reverse.route]]
path = "/reverse/{name}"
pool = "{name}"

[pools.{name}]
servers = ["http://127.0.0.1:{port}"]
"""


@pytest.fixture(scope="module")
def reactor() -> str:
    """What the program chooses: no answer depends on it, and that it works on others is known."""
    return "uvloop"


@pytest.fixture(scope="module")
def seen(
    request: pytest.FixtureRequest, start_shared: Start, keep: Keep[Told]
) -> dict[tuple[str, str], Exception | None]:
    """What went wrong in each of the rows that are to be tested, all held at once."""
    wanted: list[tuple[str, str]] = []
    for item in request.session.items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if "side" in parameters and parameters.get("name") in ROWS:
            wanted.append((parameters["side"], parameters["name"]))
    conversations: dict[str, Conversation] = {}
    told = keep(Told(conversations))
    origins: dict[tuple[str, str], Told] = {}
    config = CONFIG
    for side, name in wanted:
        row = ROWS[name]
        if row.alone:
            own = origins[side, name] = keep(Told(conversations))
            config += ALONE.format(name=row.name, port=own.port) if side == "reverse" else ""
    program = start_shared(config, told=told.port)

    def hold(one: tuple[str, str]) -> Exception | None:
        side, name = one
        proxy = program.reverse if side == "reverse" else program.forward
        conversation = Conversation(ROWS[name], side, proxy, origins.get(one, told))
        conversations[conversation.path] = conversation
        try:
            conversation.hold()
        except Exception as error:  # a row that breaks is one row
            return error
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(hold, wanted), strict=True))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ROWS)
def test_row(seen: dict[tuple[str, str], Exception | None], side: str, name: str) -> None:
    failure = seen[side, name]
    if failure is not None:
        row = ROWS[name]
        pytest.fail(f"RFC {row.section} ({row.level}): {row.text}\n{failure!s}", pytrace=False)


def test_the_table_is_one() -> None:
    names = Counter(row.name for row in ROWS.values())
    assert [name for name, count in names.items() if count > 1] == []
    assert {row.level for row in ROWS.values()} <= {MUST, MUST_NOT, SHOULD, SHOULD_NOT, MAY}
    assert all(row.steps for row in ROWS.values())
    assert len(ROWS) >= 250
