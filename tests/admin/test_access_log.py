"""access_log: one line an exchange, whatever peers send and disks do."""

from __future__ import annotations

import json
import os
import re
from threading import Event

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twistproxy.admin import access_log
from twistproxy.admin.access_log import (
    FORMATS,
    AccessLog,
    Entry,
    LogFile,
    combined_line,
    json_line,
)

ENTRY = Entry(
    time=1700000000.25,
    client="203.0.113.9",
    side="reverse",
    method="GET",
    url="http://shop.example/a?token=1",
    version=(1, 1),
    status=200,
    bytes_in=0,
    bytes_out=1234,
    duration=0.01234567,
    request_id="5f-1",
)
FULL = evolve(
    ENTRY,
    server="http://127.0.0.1:9001",
    server_duration=0.009,
    cache="miss",
    rule="staff",
    error="connection_refused",
    user_agent='curl/8 "x"',
    referer="http://a/b",
)


def test_json():
    assert json.loads(json_line(FULL)) == {
        "time": "2023-11-14T22:13:20.250Z",
        "client": "203.0.113.9",
        "side": "reverse",
        "method": "GET",
        "url": "http://shop.example/a?token=1",
        "http": "1.1",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 1234,
        "duration": 0.012346,
        "server": "http://127.0.0.1:9001",
        "server_duration": 0.009,
        "cache": "miss",
        "rule": "staff",
        "error": "connection_refused",
        "request_id": "5f-1",
        "user_agent": 'curl/8 "x"',
        "referer": "http://a/b",
    }


def test_json_has_all_members_always():
    assert json.loads(json_line(ENTRY)).keys() == json.loads(json_line(FULL)).keys()


def test_combined():
    assert combined_line(FULL) == (
        b"203.0.113.9 - - [14/Nov/2023:22:13:20 +0000]"
        b' "GET http://shop.example/a?token=1 HTTP/1.1" 200 1234'
        b' "http://a/b" "curl/8 \\x22x\\x22"\n'
    )


def test_combined_where_there_is_nothing_to_say():
    assert combined_line(evolve(ENTRY, client="", url="", method="")) == (
        b'- - - [14/Nov/2023:22:13:20 +0000] "- - HTTP/1.1" 200 1234 "-" "-"\n'
    )


USERINFO = {
    "password": ("http://joe:secret@h/a", "http://h/a"),
    "at_in_password": ("https://joe:se@cret@h/a", "https://h/a"),
    "user": ("http://secret@h", "http://h"),
    "slash_comes_late": ("http://joe:secret@h?x", "http://h?x"),
    "tunnel": ("joe:secret@h:443", "h:443"),
    "no_scheme": ("//joe:secret@h/", "//h/"),
    "many_slashes": ("http:///joe:secret@h/", "http:///h/"),
    "one_slash": ("http:/joe:secret@h/", "http:/h/"),
    "case": ("HTTP://joe:secret@h/", "HTTP://h/"),
    "at_in_path": ("http://h/@joe", "http://h/@joe"),
    "at_in_query": ("http://h?mail=joe@x", "http://h?mail=joe@x"),
    "path_only": ("/@joe/a@b", "/@joe/a@b"),
    "none": ("http://h/", "http://h/"),
}


@pytest.mark.parametrize(("url", "shown"), USERINFO.values(), ids=USERINFO)
@pytest.mark.parametrize("format", FORMATS)
def test_no_credentials(url, shown, format):
    written = FORMATS[format](evolve(ENTRY, url=url, referer=url))
    assert b"secret" not in written
    if format == "json":
        assert (json.loads(written)["url"], json.loads(written)["referer"]) == (shown, shown)
    else:
        assert b" %b HTTP/1.1" % shown.encode() in written
        assert b'"%b" "-"' % shown.encode() in written


COMBINED = re.compile(
    rb"\S+ - - \[[^\]]+\]"
    rb' "[^ "]+ [^ "]+ HTTP/\d\.\d" \d{3} \d+ "((?:[^"\\]|\\x[0-9A-F]{2})*)" "([^"]*)"\n'
)
ODD = st.text(max_size=30) | st.text('" \\\r\n\0\x7f\x85\u2028é', max_size=10)


@given(client=ODD, method=ODD, url=ODD, referer=ODD, agent=ODD)
def test_a_line_is_a_line_and_cannot_be_forged(client, method, url, referer, agent):
    entry = evolve(
        ENTRY, client=client, method=method, url=url, referer=referer, user_agent=agent, rule=agent
    )
    assert COMBINED.fullmatch(combined_line(entry))
    written = json_line(entry)
    assert written.count(b"\n") == 1
    assert written[:-1].decode("ascii").isprintable()
    assert json.loads(written)["user_agent"] == agent


class Recorder:
    """A target that keeps what it gets, and does what it is told to."""

    def __init__(self) -> None:
        self.got: list[bytes | str] = []
        self.script: list[Exception | None] = []  # what comes of each call; then all succeed
        self.busy = Event()
        self.free = Event()
        self.free.set()

    def write(self, data: bytes) -> None:
        self.busy.set()
        self.free.wait(10)
        self._do(data)

    def reopen(self) -> None:
        self._do("reopened")

    def close(self) -> None:
        self._do("closed")

    def _do(self, what: bytes | str) -> None:
        failure = self.script.pop(0) if self.script else None
        if failure is not None:
            raise failure
        self.got.append(what)


def number(entry: Entry) -> bytes:
    return b"%d\n" % entry.bytes_out


def entries(*numbers: int) -> list[Entry]:
    return [evolve(ENTRY, bytes_out=n) for n in numbers]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def target():
    return Recorder()


@pytest.fixture
def log(target, clock):
    log = AccessLog(target, number, clock)
    yield log
    target.free.set()
    log.close()


def test_nothing_is_formatted_or_written_at_once(log, target, clock):
    for entry in entries(1, 2, 3):
        log.write(entry)
    assert log.snapshot()["waiting"] == sum(entry.size() for entry in entries(1, 2, 3))
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(access_log.BATCH_SECONDS)
    assert clock.getDelayedCalls() == []
    assert log.close()
    assert target.got == [b"1\n2\n3\n", "closed"]
    assert log.snapshot() == {"lines": 3, "dropped": 0, "failed": 0, "waiting": 0, "error": None}


def test_an_idle_log_keeps_no_timer(log, clock):
    log.write(ENTRY)
    clock.advance(access_log.BATCH_SECONDS)
    clock.advance(10)
    assert clock.getDelayedCalls() == []


def test_a_large_batch_does_not_wait(log, target, clock):
    big = evolve(ENTRY, bytes_out=1, url="/" * access_log.BATCH_BYTES)
    log.write(big)
    assert clock.getDelayedCalls() == []
    assert log.close()
    assert target.got == [b"1\n", "closed"]


def test_close_writes_what_is_there(log, target, clock):
    log.write(ENTRY)
    assert log.close()
    assert log.close()
    assert target.got == [b"1234\n", "closed"]
    assert clock.getDelayedCalls() == []


def test_after_close_lines_are_dropped(log, target):
    log.close()
    log.write(ENTRY)
    log.flush()
    assert log.snapshot()["dropped"] == 1
    assert target.got == ["closed"]


def test_reopen_comes_between_the_lines_before_and_after(log, target):
    first, second = entries(1, 2)
    log.write(first)
    log.reopen()
    log.write(second)
    log.close()
    assert target.got == [b"1\n", "reopened", b"2\n", "closed"]


def test_what_the_thread_cannot_keep_up_with_is_dropped_and_counted(log, target):
    target.free.clear()
    log.write(ENTRY)
    log.flush()
    assert target.busy.wait(10)
    room = access_log.QUEUE_BYTES // ENTRY.size()
    for _ in range(2 * room):
        log.write(ENTRY)
    log.flush()
    held = log.snapshot()
    assert held["lines"] == 0
    assert 0 < held["waiting"] <= access_log.QUEUE_BYTES
    assert room <= held["dropped"] < room * 1.1
    target.free.set()
    assert log.close()
    after = log.snapshot()
    assert after["lines"] + after["dropped"] == 2 * room + 1
    assert after["waiting"] == 0


def test_close_does_not_wait_for_ever(log, target, monkeypatch):
    monkeypatch.setattr(access_log, "CLOSE_SECONDS", 0.01)
    target.free.clear()
    log.write(ENTRY)
    assert log.close() is False


FULL_DISK = OSError(28, "No space left on device")


def test_lines_that_cannot_be_written_are_counted_and_later_ones_are_written(log, target):
    target.script = [FULL_DISK]
    for entry in entries(1, 2):
        log.write(entry)
        log.flush()
    assert log.close()
    assert target.got == [b"2\n", "closed"]
    assert log.snapshot() == {"lines": 1, "dropped": 0, "failed": 1, "waiting": 0, "error": None}


@pytest.mark.parametrize("script", [[None, FULL_DISK], [None, None, FULL_DISK]])
def test_what_went_wrong_last_is_shown(log, target, script):
    target.script = script
    log.write(ENTRY)
    log.reopen()
    assert log.close()
    assert "No space left" in log.snapshot()["error"]
    assert log.snapshot()["lines"] == 1


def test_where_reopening_fails_lines_are_written_still(log, target):
    target.script = [FULL_DISK]
    log.reopen()
    log.write(ENTRY)
    log.close()
    assert target.got == [b"1234\n", "closed"]


def test_a_format_that_fails_does_not_end_the_log(target, clock):
    def odd_only(entry: Entry) -> bytes:
        if entry.bytes_out % 2 == 0:
            raise ValueError("even")
        return number(entry)

    log = AccessLog(target, odd_only, clock)
    for entry in entries(2, 1):
        log.write(entry)
        log.flush()
    assert log.close()
    assert target.got == [b"1\n", "closed"]
    assert (log.snapshot()["lines"], log.snapshot()["failed"]) == (1, 1)


def test_a_file_is_appended_to_and_only_its_owner_and_group_read_it(tmp_path):
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    file = LogFile(str(path))
    file.write(b"after\n")
    file.close()
    assert path.read_bytes() == b"before\nafter\n"
    new = LogFile(str(tmp_path / "new.log"))
    new.close()
    assert (tmp_path / "new.log").stat().st_mode & 0o007 == 0


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        LogFile(str(tmp_path / "missing" / "access.log"))


def test_a_rotated_file_is_let_go(tmp_path):
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    file = LogFile(str(path))
    file.write(b"1\n")
    path.rename(old)
    file.write(b"2\n")
    file.reopen()
    file.write(b"3\n")
    file.close()
    assert (old.read_bytes(), path.read_bytes()) == (b"1\n2\n", b"3\n")


def test_where_a_new_file_cannot_be_opened_the_old_one_goes_on(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    file = LogFile(str(folder / "access.log"))
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(OSError, match="No such file"):
        file.reopen()
    file.write(b"1\n")
    file.close()
    assert (moved / "access.log").read_bytes() == b"1\n"


def test_the_standard_output_is_never_closed(capfd):
    file = LogFile("-")
    file.write(b"1\n")
    file.reopen()
    file.close()
    os.fstat(1)
    assert capfd.readouterr().out == "1\n"


def test_a_line_that_was_torn_is_not_continued(tmp_path, monkeypatch):
    """A disk that fills up in the middle of a line, and has room again."""
    room = 4
    real = os.write

    def write(fd: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        count = real(fd, data[:room])
        room -= count
        return count

    monkeypatch.setattr(os, "write", write)
    path = tmp_path / "access.log"
    file = LogFile(str(path))
    with pytest.raises(OSError, match="No space"):
        file.write(b"12\n34\n")
    with pytest.raises(OSError, match="No space"):
        file.write(b"56\n")
    room = 100
    file.write(b"78\n")
    file.write(b"90\n")
    file.close()
    assert path.read_bytes() == b"12\n3\n78\n90\n"
