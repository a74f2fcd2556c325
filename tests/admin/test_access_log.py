"""access_log: one line an exchange, whatever peers send and disks do."""

from __future__ import annotations

import json
import os
import re
from threading import Event
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twistproxy.admin import access_log
from twistproxy.admin.access_log import (
    FORMATS,
    AccessLog,
    LogFile,
    combined_line,
    json_line,
    squid_line,
)
from twistproxy.http.cache_status import CacheStatus
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request

NOW, DURATION = 1700000000.25, 0.01234567


def exchange(
    url: str = "http://shop.example/a?token=1",
    method: bytes = b"GET",
    user_agent: bytes | None = None,
    referer: bytes | None = None,
    **more: object,
) -> SimpleNamespace:
    """What a line tells of, and nothing else."""
    fields = Fields()
    if user_agent is not None:
        fields.add(b"User-Agent", user_agent)
    if referer is not None:
        fields.add(b"Referer", referer)
    attributes: dict[str, object] = {
        "client": "203.0.113.9",
        "side": "reverse",
        "request": Request(method, b"/as/received", fields),
        "target": SimpleNamespace(url=url),
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 1234,
        "request_id": "5f-1",
        "server": None,
        "waited": 0.0,
        "cached": None,
        "cache_status": CacheStatus(),
        "user": None,
        "rule": None,
        "error": None,
    }
    return SimpleNamespace(**attributes | more)


SERVER = SimpleNamespace(url="http://127.0.0.1:9001", absolute=False)
PARENT = SimpleNamespace(url="http://parent.example:3128", absolute=True)
BARE = exchange()
FULL = exchange(
    server=SERVER,
    waited=0.009,
    cached="miss",
    rule="staff",
    error="connection_refused",
    user_agent=b'curl/8 "x"',
    referer=b"http://a/b",
)


def record(exchange: SimpleNamespace, now: float = NOW, duration: float = DURATION) -> dict:
    return json.loads(json_line(exchange, now, duration))


def test_json():
    assert json_line(FULL, NOW, DURATION) == (
        '{"time":"2023-11-14T22:13:20.250Z","client":"203.0.113.9","side":"reverse",'
        '"method":"GET","url":"http://shop.example/a?token=1","http":"1.1","status":200,'
        '"bytes_in":0,"bytes_out":1234,"duration":0.012346,"server":"http://127.0.0.1:9001",'
        '"server_duration":0.009,"cache":"miss","rule":"staff","error":"connection_refused",'
        '"request_id":"5f-1","user_agent":"curl/8 \\"x\\"","referer":"http://a/b"}\n'
    )


def test_json_has_all_members_always():
    assert record(BARE).keys() == record(FULL).keys()
    nothing = ("server", "server_duration", "cache", "rule", "error", "user_agent", "referer")
    assert [record(BARE)[name] for name in nothing] == [None] * len(nothing)


def test_combined():
    assert combined_line(FULL, NOW, DURATION) == (
        "203.0.113.9 - - [14/Nov/2023:22:13:20 +0000]"
        ' "GET http://shop.example/a?token=1 HTTP/1.1" 200 1234'
        ' "http://a/b" "curl/8 \\x22x\\x22"\n'
    )


def test_combined_where_there_is_nothing_to_say():
    assert combined_line(exchange(url="", method=b"", client=""), NOW, DURATION) == (
        'unix: - - [14/Nov/2023:22:13:20 +0000] "- - HTTP/1.1" 200 1234 "-" "-"\n'
    )


def test_nothing_that_is_a_request():
    nonsense = exchange(request=None, target=None, status=400)
    members = {"method": "-", "url": "-", "http": "1.1", "status": 400, "user_agent": None}
    assert record(nonsense).items() >= members.items()
    assert '"- - HTTP/1.1" 400' in combined_line(nonsense, NOW, DURATION)


@pytest.mark.parametrize("format", FORMATS)
def test_a_request_without_a_target_that_is_understood(format):
    odd = exchange(target=None, request=Request(b"GET", b"http://joe:secret@h/\xe9", Fields()))
    line = FORMATS[format](odd, NOW, DURATION)
    assert ('"http://h/\\u00e9"' if format == "json" else " http://h/\\xE9 ") in line


def test_a_client_on_a_unix_socket():
    assert record(exchange(client=""))["client"] == "unix:"


def test_the_version():
    odd = exchange(request=Request(b"GET", b"/", Fields(), (1, 0)))
    assert record(odd)["http"] == "1.0"
    assert " HTTP/1.0" in combined_line(odd, NOW, DURATION)


CACHE = {
    "asked": ({"cached": "hit"}, "hit", None),
    "server": ({"cached": "miss", "server": SERVER}, "miss", 0.5),
    "server_at_once": ({"cached": "miss", "server": SERVER, "waited": 0.0}, "miss", 0.0),
    "upgrade": ({"cached": "bypass", "server": SERVER, "status": 101}, "tunnel", None),
    "tunnel": ({"method": b"CONNECT", "server": SERVER}, "tunnel", None),
    "tunnel_refused": ({"method": b"CONNECT", "status": 403}, None, None),
}


@pytest.mark.parametrize(("of", "cache", "waited"), CACHE.values(), ids=CACHE)
def test_what_the_cache_did_and_how_long_the_server_took(of, cache, waited):
    written = record(exchange(**{"waited": 0.5, **of}))
    assert (written["cache"], written["server_duration"]) == (cache, waited)


TIMES = {
    "zero": (0.0, "0.0"),
    "tiny": (0.0000004, "0.0"),
    "microsecond": (0.000001, "1e-06"),
    "short": (0.00012, "0.00012"),
    "even": (2.0, "2.0"),
    "long": (86400.1234567, "86400.123457"),
    "clock_went_back": (-0.25, "-0.25"),
}


@pytest.mark.parametrize(("seconds", "written"), TIMES.values(), ids=TIMES)
def test_durations_are_in_seconds_to_the_microsecond(seconds, written):
    line = json_line(exchange(server=SERVER, waited=seconds), NOW, seconds)
    assert f'"duration":{written},' in line
    assert f'"server_duration":{written},' in line


def test_the_time_is_of_the_moment():
    times = [record(BARE, now)["time"] for now in (NOW, NOW + 0.0625, NOW + 60, 0.0)]
    assert times == [
        "2023-11-14T22:13:20.250Z",
        "2023-11-14T22:13:20.312Z",
        "2023-11-14T22:14:20.250Z",
        "1970-01-01T00:00:00.000Z",
    ]


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
    written = FORMATS[format](exchange(url, referer=url.encode()), NOW, DURATION)
    assert "secret" not in written
    if format == "json":
        assert (json.loads(written)["url"], json.loads(written)["referer"]) == (shown, shown)
    elif format == "squid":
        assert f" {shown} - HIER_NONE" in written
    else:
        assert f" {shown} HTTP/1.1" in written
        assert f'"{shown}" "-"' in written


COMBINED = re.compile(
    r"\S+ - - \[[^\]]+\]"
    r' "[^ "]+ [^ "]+ HTTP/\d\.\d" \d{3} \d+ "((?:[^"\\]|\\x[0-9A-F]{2})*)" "([^"]*)"\n'
)
#: Any byte, as latin-1 has it, and often those that could end a string or a line.
ODD = st.binary(max_size=30) | st.lists(
    st.sampled_from([*b'" \\\r\n\0\x1f\x7f\x85\xa0\xe9\xff/@:'])
).map(bytes)
LONG = st.binary(min_size=250, max_size=300)


@given(method=ODD, url=ODD, referer=ODD, agent=ODD | LONG)
def test_a_line_is_a_line_and_cannot_be_forged(method, url, referer, agent):
    odd = exchange(
        method=method,
        target=None,
        request=Request(method, url, Fields([(b"User-Agent", agent), (b"Referer", referer)])),
        client=agent.decode("latin-1"),
        rule=agent.decode("latin-1"),
    )
    combined = combined_line(odd, NOW, DURATION)
    assert combined.isascii()
    assert COMBINED.fullmatch(combined)
    written = json_line(odd, NOW, DURATION)
    assert written.count("\n") == 1
    assert written.isascii()
    assert written[:-1].isprintable()
    read = json.loads(written)
    assert read["method"].encode("latin-1") == method
    assert read["user_agent"].encode("latin-1") == agent
    assert read["rule"].encode("latin-1") == agent
    # Of the others only credentials are missing.
    for name, bytes_ in (("url", url), ("referer", referer)):
        text = bytes_.decode("latin-1")
        if "@" not in text:
            assert read[name] == text
        else:
            assert text.endswith(read[name].rpartition("/")[2])


AUTHORITY = st.text(st.characters(max_codepoint=0xFF, exclude_characters="/?#@"), max_size=20)


@given(user=AUTHORITY, host=AUTHORITY, path=st.text(st.characters(max_codepoint=0xFF)))
def test_a_url_is_there_but_for_its_userinfo(user, host, path):
    url = f"http://{user}@{host}/{path}"
    read = record(exchange(url, referer=url.encode("latin-1")))
    assert (read["url"], read["referer"]) == (f"http://{host}/{path}",) * 2


def test_what_is_kept_to_be_told_again_is_bounded():
    """However many there are, and however long."""
    for number in range(3000):
        agent = b"%d" % number
        json_line(
            exchange(user_agent=agent, client=f"{number}", cached=f"{number}"), number, number
        )
    kept = [each for each in vars(access_log).values() if hasattr(each, "cache_info")]
    assert kept
    for each in kept:
        assert each.cache_info().currsize <= 4096
    before = access_log._kept.cache_info()
    json_line(exchange(user_agent=b"x" * 60_000), NOW, DURATION)
    assert access_log._kept.cache_info() == before


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


def number(number: int, now: float, duration: float) -> str:
    """A format; an exchange is a number here."""
    return f"{number}\n"


def write(log: AccessLog, *numbers: int) -> None:
    for each in numbers:
        log.write(each, NOW, DURATION)


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


def test_nothing_is_written_at_once(log, target, clock):
    write(log, 1, 20, 300)
    assert not target.busy.is_set()
    assert log.snapshot()["waiting"] == len("1\n20\n300\n")
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(access_log.BATCH_SECONDS)
    assert clock.getDelayedCalls() == []
    assert log.close()
    assert target.got == [b"1\n20\n300\n", "closed"]
    assert log.snapshot() == {"lines": 3, "dropped": 0, "failed": 0, "waiting": 0, "error": None}


def test_an_idle_log_keeps_no_timer(log, clock):
    write(log, 1234)
    clock.advance(access_log.BATCH_SECONDS)
    clock.advance(10)
    assert clock.getDelayedCalls() == []


def test_a_large_batch_does_not_wait(target, clock):
    big = "/" * access_log.BATCH_BYTES + "\n"
    log = AccessLog(target, lambda *_: big, clock)
    write(log, 1)
    assert clock.getDelayedCalls() == []
    assert log.close()
    assert target.got == [big.encode(), "closed"]


def test_one_timer_for_however_many_batches(log, target, clock, monkeypatch):
    monkeypatch.setattr(access_log, "BATCH_BYTES", 4)
    made = []
    later = clock.callLater
    monkeypatch.setattr(clock, "callLater", lambda *call: made.append(call) or later(*call))
    write(log, *range(9))
    assert len(made) == 1
    clock.advance(access_log.BATCH_SECONDS)
    assert log.close()
    assert target.got == [b"0\n1\n", b"2\n3\n", b"4\n5\n", b"6\n7\n", b"8\n", "closed"]


def test_close_writes_what_is_there(log, target, clock):
    write(log, 1234)
    assert log.close()
    assert log.close()
    assert target.got == [b"1234\n", "closed"]
    assert clock.getDelayedCalls() == []


def test_after_close_lines_are_dropped(log, target):
    log.close()
    write(log, 1234)
    log.flush()
    assert log.snapshot()["dropped"] == 1
    assert target.got == ["closed"]


def test_reopen_comes_between_the_lines_before_and_after(log, target):
    write(log, 1)
    log.reopen()
    write(log, 2)
    log.close()
    assert target.got == [b"1\n", "reopened", b"2\n", "closed"]


def test_what_the_thread_cannot_keep_up_with_is_dropped_and_counted(target, clock):
    line = "/" * 499 + "\n"
    log = AccessLog(target, lambda *_: line, clock)
    target.free.clear()
    write(log, 1)
    log.flush()
    assert target.busy.wait(10)
    room = access_log.QUEUE_BYTES // len(line)
    write(log, *range(2 * room))
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
    write(log, 1234)
    assert log.close() is False


FULL_DISK = OSError(28, "No space left on device")


def test_lines_that_cannot_be_written_are_counted_and_later_ones_are_written(log, target):
    target.script = [FULL_DISK]
    for each in (1, 2):
        write(log, each)
        log.flush()
    assert log.close()
    assert target.got == [b"2\n", "closed"]
    assert log.snapshot() == {"lines": 1, "dropped": 0, "failed": 1, "waiting": 0, "error": None}


@pytest.mark.parametrize("script", [[None, FULL_DISK], [None, None, FULL_DISK]])
def test_what_went_wrong_last_is_shown(log, target, script):
    target.script = script
    write(log, 1234)
    log.reopen()
    assert log.close()
    assert "No space left" in log.snapshot()["error"]
    assert log.snapshot()["lines"] == 1


def test_where_reopening_fails_lines_are_written_still(log, target):
    target.script = [FULL_DISK]
    log.reopen()
    write(log, 1234)
    log.close()
    assert target.got == [b"1234\n", "closed"]


def test_a_format_that_fails_does_not_end_the_log(target, clock):
    def odd_only(each: int, now: float, duration: float) -> str:
        if each % 2 == 0:
            raise ValueError("even")
        return number(each, now, duration)

    log = AccessLog(target, odd_only, clock)
    write(log, 2)
    assert log.snapshot()["error"] == "even"
    write(log, 1)
    assert log.close()
    assert target.got == [b"1\n", "closed"]
    assert log.snapshot() == {"lines": 1, "dropped": 0, "failed": 1, "waiting": 0, "error": None}


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


SQUID = {
    "a miss": (
        {"server": SERVER, "cached": "miss", "user": "ann b"},
        "TCP_MISS/200 1234 GET http://shop.example/a?token=1 ann\\x20b HIER_DIRECT/127.0.0.1:9001",
    ),
    "a hit": (
        {"cached": "hit"},
        "TCP_HIT/200 1234 GET http://shop.example/a?token=1 - HIER_NONE/-",
    ),
    "collapsed": (
        {"cached": "collapsed"},
        "TCP_CF_HIT/200 1234 GET http://shop.example/a?token=1 - HIER_NONE/-",
    ),
    "confirmed": (
        {
            "server": PARENT,
            "cached": "stale",
            "cache_status": CacheStatus(fwd="stale", fwd_status=304),
        },
        "TCP_REFRESH_UNMODIFIED/200 1234 GET http://shop.example/a?token=1 - "
        "FIRSTUP_PARENT/parent.example:3128",
    ),
    "replaced": (
        {"server": SERVER, "cached": "stale"},
        "TCP_REFRESH_MODIFIED/200 1234 GET http://shop.example/a?token=1 - "
        "HIER_DIRECT/127.0.0.1:9001",
    ),
    "denied": (
        {"error": "http_request_denied", "status": 403},
        "TCP_DENIED/403 1234 GET http://shop.example/a?token=1 - HIER_NONE/-",
    ),
    "a tunnel": (
        {"method": b"CONNECT", "url": "shop.example:443", "server": SERVER},
        "TCP_TUNNEL/200 1234 CONNECT shop.example:443 - HIER_DIRECT/127.0.0.1:9001",
    ),
    "a server that failed": (
        {"server": SERVER, "error": "connection_refused", "status": 502},
        "TCP_MISS_ABORTED/502 1234 GET http://shop.example/a?token=1 - HIER_DIRECT/127.0.0.1:9001",
    ),
    "no request": (
        {"error": "http_request_error", "status": 0, "url": ""},
        "NONE/000 1234 GET - - HIER_NONE/-",
    ),
}


@pytest.mark.parametrize(("more", "told"), SQUID.values(), ids=SQUID)
def test_squid(more, told):
    assert squid_line(exchange(**more), NOW, DURATION) == (
        f"1700000000.250     12 203.0.113.9 {told} -\n"
    )
