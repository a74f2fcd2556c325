"""answers: what stands, and the file in which it outlives a restart."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute

from twistproxy.policy import answers
from twistproxy.policy.answers import Access, Answers, Full, Standing, parsed, text

NOW = 1_700_000_000.0
ACCESS = Access("new-places", "forward", "ann", "", "https", "a.test", 443)
OTHER = Access("new-places", "reverse", None, "192.0.2.1", "", "::1", 443)
FOR_EVER = Standing(ACCESS, True, NOW)
FOR_AN_HOUR = Standing(OTHER, True, NOW, NOW + 3600)


def kept_in(folder: Path, now: float = NOW) -> Answers:
    return Answers(folder / "var" / answers.NAME, execute, lambda: now)


def file_of(folder: Path) -> Path:
    return folder / "var" / answers.NAME


def kept(folder: Path, now: float = NOW) -> Answers:
    """Those that a process finds which starts now."""
    found = kept_in(folder, now)
    found.load()
    return found


# -- through a restart -----------------------------------------------------------------------


def test_they_outlive_a_restart(tmp_path: Path) -> None:
    before = kept_in(tmp_path)
    before.keep(before.number(), FOR_EVER)
    before.keep(before.number(), FOR_AN_HOUR)
    after = kept(tmp_path)
    assert (after.get(ACCESS), after.get(OTHER)) == (FOR_EVER, FOR_AN_HOUR)
    assert repr(after) == repr(before)
    assert len({after.number(), 1, 2}) == 3


def test_but_not_their_time(tmp_path: Path) -> None:
    before = kept_in(tmp_path)
    before.keep(1, FOR_EVER)
    before.keep(2, FOR_AN_HOUR)
    after = kept(tmp_path, NOW + 3600)
    assert (after.get(ACCESS), after.get(OTHER), len(after)) == (FOR_EVER, None, 1)


def test_what_is_taken_back_stays_so(tmp_path: Path) -> None:
    before = kept_in(tmp_path)
    before.keep(7, FOR_EVER)
    assert before.forget(7) == FOR_EVER
    assert before.forget(7) is None
    assert len(kept(tmp_path)) == 0


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    kept_in(tmp_path).keep(1, FOR_EVER)
    assert file_of(tmp_path).stat().st_mode & 0o777 == 0o600
    assert file_of(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(tmp_path / "var") == [answers.NAME]


def test_without_a_file_nothing_stands_and_none_is_made(tmp_path: Path) -> None:
    assert len(kept(tmp_path)) == 0
    assert not file_of(tmp_path).exists()


def test_the_file_is_for_people(tmp_path: Path) -> None:
    before = kept_in(tmp_path)
    before.keep(1, FOR_EVER)
    before.keep(2, FOR_AN_HOUR)
    assert file_of(tmp_path).read_text().split("\n\n", 1)[1] == (
        "[[answer]]\n"
        'rule = "new-places"\n'
        'side = "forward"\n'
        'user = "ann"\n'
        'scheme = "https"\n'
        'host = "a.test"\n'
        "port = 443\n"
        "allow = true\n"
        "given = 2023-11-14 22:13:20Z\n"
        "\n"
        "[[answer]]\n"
        'rule = "new-places"\n'
        'side = "reverse"\n'
        'client = "192.0.2.1"\n'
        'scheme = ""\n'
        'host = "::1"\n'
        "port = 443\n"
        "allow = true\n"
        "given = 2023-11-14 22:13:20Z\n"
        "until = 2023-11-14 23:13:20Z\n"
    )


ACCESSES = st.builds(
    Access,
    rule=st.text(),
    side=st.sampled_from(["forward", "reverse"]),
    user=st.text(st.characters(exclude_categories=())),  # surrogates, too
    client=st.just(""),
    scheme=st.sampled_from(["http", "https", ""]),
    host=st.text(),
    port=st.integers(0, 65535),
)
SECONDS = st.integers(0, 1 << 32).map(float)


@given(st.lists(st.builds(Standing, ACCESSES, st.booleans(), SECONDS, st.none() | SECONDS)))
def test_what_is_written_is_read(standing: list[Standing]) -> None:
    assert parsed(text(standing).encode("utf-8", "surrogatepass")) == (standing, [])


# -- a file that isn't as we wrote it ----------------------------------------------------------

GOOD = text([FOR_EVER])
BROKEN = {
    "no TOML": ("[[answer", [], "Expected"),
    "no UTF-8": (b"\xff", [], "can't decode"),
    "no list": ("answer = 3", [], "answer: not a list of tables"),
    "no tables": ("answer = [3]", [], "answer[0]: Expected `object`, got `int`"),
    "another key": (f"reply = 3\n{GOOD}", [FOR_EVER], "reply: no such key"),
    "a key missing": (GOOD.replace('host = "a.test"\n', ""), [], "answer[0]: "),
    "a key too many": (f"{GOOD}why = 3\n", [], "`why`"),
    "a port": (GOOD.replace("443", "65536"), [], "`$.port`"),
    "a side": (GOOD.replace("forward", "sideways"), [], "`$.side`"),
    "nobody": (GOOD.replace('user = "ann"\n', ""), [], "either user or client"),
    "both": (f'{GOOD}client = "192.0.2.1"\n', [], "either user or client"),
    "one of two": (f"{GOOD}[[answer]]\n", [FOR_EVER], "answer[1]: "),
}


@pytest.mark.parametrize(("data", "found", "why"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_said_and_kept(
    data: str | bytes, found: list[Standing], why: str, tmp_path: Path
) -> None:
    content = data.encode() if isinstance(data, str) else data
    standing, complaints = parsed(content)
    assert standing == found
    assert why in "".join(complaints)
    file = file_of(tmp_path)
    file.parent.mkdir()
    file.write_bytes(content)
    assert len(kept(tmp_path)) == len(found)
    assert file.with_name("answers.toml.broken").read_bytes() == content
    assert parsed(file.read_bytes()) == (found, [])


def test_a_file_that_cannot_be_opened_is_none(tmp_path: Path) -> None:
    file_of(tmp_path).mkdir(parents=True)
    assert len(kept(tmp_path)) == 0
    assert file_of(tmp_path).with_name("answers.toml.broken").is_dir()


# -- writing ---------------------------------------------------------------------------------


class Thread:
    """Works when it is told to."""

    def __init__(self) -> None:
        self.work: list[tuple[Callable[[], None], Deferred[None]]] = []
        self.turns = 0

    def __call__(self, work: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.work.append((work, done))
        return done

    def run(self) -> None:
        (work, done) = self.work.pop()
        self.turns += 1
        execute(work).chainDeferred(done)


def test_one_turn_at_a_time_and_the_last_has_all(tmp_path: Path) -> None:
    thread = Thread()
    standing = Answers(file_of(tmp_path), thread, lambda: NOW)
    for port in range(5):
        standing.keep(port, Standing(Access("r", "forward", None, "", "", "a", port), True, NOW))
    closed = standing.close()
    assert len(thread.work) == 1
    thread.run()
    assert not closed.called
    thread.run()
    assert closed.called
    assert (thread.work, thread.turns) == ([], 2)
    assert len(kept(tmp_path)) == 5
    assert standing.close().called


def test_what_cannot_be_written_is_said_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("in the way")
    standing = kept_in(tmp_path)
    standing.keep(1, FOR_EVER)
    assert standing.get(ACCESS) == FOR_EVER
    assert standing.trouble in repr(standing)
    assert "File exists" in standing.trouble
    (tmp_path / "var").unlink()
    standing.keep(2, FOR_AN_HOUR)
    assert standing.trouble == ""
    assert len(kept(tmp_path)) == 2


def test_a_write_that_fails_leaves_the_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = kept_in(tmp_path)
    standing.keep(1, FOR_EVER)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    standing.keep(2, FOR_AN_HOUR)
    assert "No space left" in standing.trouble
    assert os.listdir(tmp_path / "var") == [answers.NAME]
    assert len(kept(tmp_path)) == 1


def test_no_more_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT", 1)
    standing = kept_in(tmp_path)
    standing.keep(1, FOR_EVER)
    with pytest.raises(Full, match="1 answers are kept already: `forget` some"):
        standing.keep(2, FOR_AN_HOUR)
    standing.keep(3, Standing(ACCESS, False, NOW))  # another answer to the same
    assert [standing.get(ACCESS), standing.get(OTHER)] == [Standing(ACCESS, False, NOW), None]


def test_what_is_over_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT", 1)
    now = [NOW]
    standing = Answers(file_of(tmp_path), execute, lambda: now[0])
    standing.keep(1, FOR_AN_HOUR)
    now[0] += 3600
    standing.keep(2, FOR_EVER)
    assert len(standing) == 1


# -- for people ------------------------------------------------------------------------------


def test_the_table(tmp_path: Path) -> None:
    standing = kept_in(tmp_path)
    standing.keep(3, FOR_EVER)
    standing.keep(14, FOR_AN_HOUR)
    standing.keep(15, Standing(Access("r", "forward", None, "", "http", "b.test", 81), False, NOW))
    assert repr(standing).splitlines() == [
        "number  answer  who            where             rule        side     given"
        "                 until",
        "     3  always  ann            https://a.test    new-places  forward"
        "  2023-11-14 22:13:20Z  -",
        "    14  hour    192.0.2.1      [::1]:443         new-places  reverse"
        "  2023-11-14 22:13:20Z  2023-11-14 23:13:20Z",
        "    15  never   a unix socket  http://b.test:81  r           forward"
        "  2023-11-14 22:13:20Z  -",
    ]


def test_a_long_table_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_ROWS", 1)
    standing = kept_in(tmp_path)
    standing.keep(1, FOR_EVER)
    standing.keep(2, FOR_AN_HOUR)
    assert "192.0.2.1" in repr(standing)
    assert repr(standing).splitlines()[-1] == "and 1 older ones"


NAMES = {"a plain one": ("ann", "ann"), "two lines": ("a\nb", r"'a\nb'"), "empty": ("", "''")}


@pytest.mark.parametrize(("user", "shown"), NAMES.values(), ids=NAMES)
def test_a_users_name_draws_no_table_of_its_own(user: str, shown: str) -> None:
    assert Access("r", "forward", user, "", "", "a.test", 1).who == shown
