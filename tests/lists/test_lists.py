from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from listing import asked
from sockets import Machine
from twistproxy.lists.lists import LOOK, RETRY, RETRY_MAX, Lists

ADS = asked("http://www.ads.example/")
URL = "https://lists.example/ads.txt?key=secret"
HOUR = 3600.0


@implementer(IAgent)
class Server:
    """Answers with `code` and `body`, once the test lets it. asked: the fields of requests."""

    def __init__(self) -> None:
        self.code, self.body = 200, b"ads.example\n"
        self.fields: dict[str, list[str]] = {"etag": ['"1"']}
        self.holds = False
        self.asked: list[Headers] = []
        self.waiting: list[Deferred[Any]] = []

    def request(
        self, method: bytes, uri: bytes, headers: Headers, *more: Any, **others: Any
    ) -> Any:
        self.asked.append(headers)
        done: Deferred[Any] = Deferred()
        self.waiting.append(done)
        if not self.holds:
            self.answer()
        return done

    def answer(self) -> None:
        self.waiting.pop().callback(_Answer(self.code, Headers(self.fields), self.body))


class _Answer:
    request = None

    def __init__(self, code: int, headers: Headers, body: bytes) -> None:
        self.code, self.headers, self._body = code, headers, body
        self.length = len(body)

    def deliverBody(self, protocol: Any) -> None:
        from twisted.python.failure import Failure

        protocol.dataReceived(self._body)
        protocol.connectionLost(Failure(ResponseDone()))


@pytest.fixture
def warned() -> Any:
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"].name == "warn" and event["log_namespace"].endswith("lists.lists"):
            lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def web() -> Server:
    return Server()


@pytest.fixture
def file(bench: Any) -> Path:
    found: Path = bench.folder / "ads.txt"
    write(found, "ads.example\n")
    return found


def write(file: Path, text: str, at: float = 1e9) -> None:
    file.write_text(text)
    os.utime(file, (at, at))


def fired(done: Deferred[Any]) -> Any:
    found: list[Any] = []
    done.addBoth(found.append)
    assert found, "it has not fired"
    return found[0]


def started(lists: Lists, sources: Any) -> dict[str, Any]:
    found = lists.load(sources)
    lists.use(found)
    return found


# -- files ----------------------------------------------------------------------------


def test_no_lists(bench: Any) -> None:
    lists = bench.lists()
    assert started(lists, {}) == {}
    assert (lists.snapshot(), repr(lists)) == ({}, "no lists")
    assert fired(lists.prepare({})) == {}
    lists.stop()
    assert not (bench.folder / "lists").exists()


def test_a_file_is_in_force_when_load_returns(bench: Any, source: Any, file: Path) -> None:
    lists = bench.lists()
    assert lists.load({"ads": source(file=file)})["ads"].has(ADS)
    assert (bench.folder / "lists").stat().st_mode & 0o777 == 0o700


def test_a_file_that_changes_is_read_again_and_the_list_stays(
    bench: Any, source: Any, file: Path
) -> None:
    lists = bench.lists()
    ads = started(lists, {"ads": source(file=file)})["ads"]
    for _ in range(3):
        bench.clock.advance(LOOK)
    assert len(bench.made) == 1
    write(file, "other.example\n", 1.1e9)
    bench.clock.advance(LOOK)
    assert not ads.has(ADS)
    assert ads.has(asked("http://other.example/"))
    assert len(bench.made) == 2
    lists.stop()
    assert bench.clock.getDelayedCalls() == []


def test_what_is_wrong_is_warned_of_once(
    bench: Any, source: Any, file: Path, warned: list[str]
) -> None:
    lists = bench.lists()
    ads = started(lists, {"ads": source(file=file)})["ads"]
    write(file, "", 1.1e9)
    for _ in range(3):
        bench.clock.advance(LOOK)
    assert warned == [
        "List ads: it is empty; there were 1 entries; kept back, what was before stays."
        " If it is right, force it"
    ]
    assert ads.has(ADS)
    assert "kept back: it is empty" in repr(lists)
    file.unlink()
    for _ in range(3):
        bench.clock.advance(LOOK)
    assert warned[1:] == [f"List ads: {file}: No such file or directory"]
    assert lists.force("ads") == "ads: 0 entries"
    assert not ads.has(ADS)
    assert lists.force("ads") == "ads: nothing is kept back"
    with pytest.raises(LookupError):
        lists.force("asd")


def test_a_file_is_read_at_once_when_asked(bench: Any, source: Any, file: Path) -> None:
    lists = bench.lists()
    ads = started(lists, {"ads": source(file=file)})["ads"]
    write(file, "other.example\nmore.example\n", 1.1e9)
    assert fired(lists.refresh("ads")) == "ads: 2 entries"
    assert not ads.has(ADS)
    write(file, "", 1.2e9)
    assert fired(lists.refresh("ads")) == "ads: kept back: it is empty; there were 2 entries"


# -- URLs -----------------------------------------------------------------------------


def test_a_url_is_fetched_at_the_start(
    bench: Any, source: Any, web: Server, warned: list[str]
) -> None:
    lists = bench.lists(web)
    ads = started(lists, {"ads": source(url=URL, refresh=HOUR)})["ads"]
    assert not ads.has(ADS)
    assert warned == ["List ads: it was never fetched; until it is, it is empty"]
    assert lists.snapshot()["ads"]["fetched"] is None
    assert "not fetched yet" in repr(lists)
    bench.clock.advance(0)
    assert ads.has(ADS)
    assert lists.snapshot()["ads"] == {
        "format": "domains",
        "source": "https://lists.example/ads.txt",
        "entries": 1,
        "skipped": 0,
        "unreadable": 0,
        "bytes": 12,
        "fetched": 2e9,
        "error": "",
        "kept_back": "",
    }
    assert "secret" not in repr(lists)


def test_it_is_refreshed_in_time_and_only_if_it_changed(
    bench: Any, source: Any, web: Server
) -> None:
    lists = bench.lists(web)
    ads = started(lists, {"ads": source(url=URL, refresh=HOUR)})["ads"]
    bench.clock.advance(0)
    web.code, web.body = 304, b""
    bench.clock.advance(0.9 * HOUR - 1)
    assert len(web.asked) == 1
    bench.clock.advance(0.2 * HOUR + 2)
    assert len(web.asked) == 2
    assert web.asked[1].getRawHeaders("if-none-match") == ['"1"']
    assert ads.has(ADS)
    assert lists.snapshot()["ads"]["fetched"] == bench.wall()
    web.code, web.body = 200, b"other.example\n"
    bench.clock.advance(1.1 * HOUR + 1)
    assert not ads.has(ADS)
    lists.stop()
    assert bench.clock.getDelayedCalls() == []


def test_the_last_good_copy_is_in_force_after_a_restart(
    bench: Any, source: Any, web: Server, warned: list[str]
) -> None:
    config = {"ads": source(url=URL, refresh=HOUR)}
    started(bench.lists(web), config)
    bench.clock.advance(0)
    warned.clear()
    web.code = 500
    lists = bench.lists(web)
    assert started(lists, config)["ads"].has(ADS)
    assert warned == []
    bench.clock.advance(1.2 * HOUR)
    assert "List ads: the answer was 500" in warned
    assert lists.snapshot()["ads"]["error"] == "the answer was 500"
    assert len(bench.made) == 1


BAD = {
    "empty": (200, b"", "kept_back", "it is empty"),
    "page": (200, b"<html>", "kept_back", "it is a page in HTML"),
    "garbage": (200, bytes(range(256)) * 9, "kept_back", "can't be read"),
    "error": (500, b"ads.example\n", "error", "the answer was 500"),
    "loop": (302, b"", "error", "redirected more than 5 times"),
}


@pytest.mark.parametrize(("code", "body", "where", "why"), BAD.values(), ids=BAD)
def test_a_bad_answer_changes_nothing_but_a_warning(
    code: int,
    body: bytes,
    where: str,
    why: str,
    bench: Any,
    source: Any,
    web: Server,
    warned: list[str],
) -> None:
    lists = bench.lists(web)
    config = {"ads": source(url=URL, refresh=HOUR)}
    ads = started(lists, config)["ads"]
    bench.clock.advance(0)
    web.code, web.body = code, body
    web.fields["location"] = ["/ads.txt"]
    warned.clear()
    assert why in fired(lists.refresh("ads"))
    assert ads.has(ADS)
    assert why in lists.snapshot()["ads"][where]
    assert len(warned) == 1
    # What is in force is asked for with its own ETag, not with that of what was kept back.
    assert started(bench.lists(web), config)["ads"].has(ADS)
    web.code, web.body = 304, b""
    assert fired(lists.refresh("ads")) == "ads: 1 entries"
    assert lists.snapshot()["ads"][where] == ""


def test_what_was_fetched_and_kept_back_can_be_forced(bench: Any, source: Any, web: Server) -> None:
    lists = bench.lists(web)
    config = {"ads": source(url=URL, refresh=HOUR)}
    ads = started(lists, config)["ads"]
    bench.clock.advance(0)
    web.body, web.fields["etag"] = b"", ['"2"']
    fired(lists.refresh("ads"))
    assert lists.force("ads") == "ads: 0 entries"
    assert not ads.has(ADS)
    fired(lists.refresh("ads"))
    assert web.asked[-1].getRawHeaders("if-none-match") == ['"2"']
    assert not started(bench.lists(web), config)["ads"].has(ADS)


def test_failures_are_tried_again_less_and_less_often(bench: Any, source: Any, web: Server) -> None:
    web.code = 500
    lists = bench.lists(web)
    ads = started(lists, {"ads": source(url=URL)})["ads"]
    bench.clock.advance(0)
    wait = RETRY
    for count in range(1, 12):
        assert len(web.asked) == count
        bench.clock.advance(0.9 * wait - 1)
        assert len(web.asked) == count
        bench.clock.advance(0.2 * wait + 2)
        wait = min(2 * wait, RETRY_MAX)
    web.code = 200
    bench.clock.advance(1.1 * wait)
    assert ads.has(ADS)
    assert bench.clock.getDelayedCalls() == []  # without `refresh` it is fetched once a start


def test_one_fetch_at_a_time(bench: Any, source: Any, web: Server) -> None:
    web.holds = True
    lists = bench.lists(web)
    started(lists, {"ads": source(url=URL, refresh=HOUR)})
    bench.clock.advance(0)
    told: list[str] = []
    lists.refresh("ads").addCallback(told.append)
    lists.refresh("ads").addCallback(told.append)
    assert (len(web.asked), told) == (1, [])
    web.answer()
    assert told == ["ads: 1 entries"] * 2


def test_who_hangs_changes_nothing(bench: Any, source: Any, web: Server) -> None:
    lists = bench.lists(web)
    ads = started(lists, {"ads": source(url=URL, refresh=HOUR)})["ads"]
    bench.clock.advance(0)
    web.holds = True
    told: list[str] = []
    lists.refresh("ads").addCallback(told.append)
    bench.clock.advance(30)
    assert told == ["ads: there was no answer in time"]
    assert ads.has(ADS)


def test_a_stop_ends_what_is_under_way(bench: Any, source: Any, web: Server) -> None:
    web.holds = True
    lists = bench.lists(web)
    started(lists, {"ads": source(url=URL, refresh=HOUR)})
    bench.clock.advance(0)
    lists.stop()
    assert bench.clock.getDelayedCalls() == []


# -- reloads --------------------------------------------------------------------------


def test_over_a_reload_what_did_not_change_lives_on(
    bench: Any, source: Any, file: Path, web: Server
) -> None:
    lists = bench.lists(web)
    before = started(lists, {"a": source(file=file), "b": source(url=URL, refresh=HOUR)})
    bench.clock.advance(0)
    other = {"a": source(file=file), "b": source(url=URL, refresh=HOUR), "c": source(file=file)}
    after = fired(lists.prepare(other))
    assert (after["a"], after["b"]) == (before["a"], before["b"])
    assert after["c"].has(ADS)
    assert list(lists.snapshot()) == ["a", "b"]
    lists.use(after)
    assert list(lists.snapshot()) == ["a", "b", "c"]
    assert len(web.asked) == 1


def test_what_changed_is_read_before_it_is_used(
    bench: Any, source: Any, file: Path, web: Server
) -> None:
    lists = bench.lists(web)
    before = started(lists, {"a": source(file=file)})["a"]
    more = bench.folder / "more.txt"
    write(more, "more.example\n")
    after = fired(lists.prepare({"a": source(file=more)}))["a"]
    assert before.has(ADS)
    assert not after.has(ADS)
    assert after.has(asked("more.example:443"))


def test_what_is_gone_is_looked_after_no_more(
    bench: Any, source: Any, file: Path, web: Server
) -> None:
    lists = bench.lists(web)
    started(lists, {"a": source(file=file), "b": source(url=URL, refresh=HOUR)})
    bench.clock.advance(0)
    lists.use(fired(lists.prepare({})))
    assert bench.clock.getDelayedCalls() == []
    assert lists.snapshot() == {}


def test_a_start_takes_away_files_of_lists_that_are_gone(
    bench: Any, source: Any, file: Path
) -> None:
    bench.lists().load({"a": source(file=file), "b": source(file=file)})
    (bench.folder / "lists/notes.txt").write_text("of somebody else")
    bench.lists().load({"b": source(file=file)})
    names = {path.name for path in (bench.folder / "lists").iterdir()}
    assert names == {"b.table", "notes.txt"}


def test_a_folder_that_can_t_be_had(bench: Any, source: Any, file: Path) -> None:
    (bench.folder / "lists").write_text("")
    lists = bench.lists()
    with pytest.raises(OSError, match="exists"):
        lists.load({"a": source(file=file)})
    assert fired(lists.prepare({"a": source(file=file)})).check(OSError)


# -- as a whole -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["epoll", "uvloop"])
def test_another_process_reads_and_the_reactor_turns(
    kind: str, bench: Any, source: Any, file: Path
) -> None:
    machine = Machine(kind)
    pool = machine.reactor.getThreadPool()
    pool.start()
    lists = Lists(machine.reactor, bench.folder / "lists", bench.wall, Random(1))
    ads = started(lists, {"ads": source(file=file)})["ads"]
    assert ads.has(ADS)
    write(file, "other.example\n", 1.1e9)
    told: list[str] = []
    lists.refresh("ads").addBoth(told.append)
    assert told == []  # nobody has waited
    try:
        machine.until(lambda: told)
    finally:
        lists.stop()
        pool.stop()
        machine.close()
    assert told == ["ads: 1 entries"]
    assert not ads.has(ADS)
