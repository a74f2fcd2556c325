from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from listing import asked
from twistproxy.lists.held import Held, shown, stem_of

ADS = asked("http://www.ads.example/")


@pytest.fixture
def file(bench: Any) -> Path:
    (bench.folder / "lists").mkdir()
    found: Path = bench.folder / "ads.txt"
    return found


@pytest.fixture
def held(bench: Any, source: Any, file: Path) -> Held:
    return Held("ads", source(file=file), bench.folder / "lists", bench.wall)


@pytest.fixture
def fetched(bench: Any, source: Any, file: Path) -> Held:
    return Held(
        "ads",
        source(url="http://u:secret@h.example/l?key=secret"),
        file.parent / "lists",
        bench.wall,
    )


def write(file: Path, text: str, at: float = 1e9) -> None:
    file.write_text(text)
    os.utime(file, (at, at))


def again(held: Held, bench: Any) -> Held:
    """After a restart."""
    found = Held(held.name, held.source, bench.folder / "lists", bench.wall)
    found.open(bench.make)
    return found


def test_a_file_is_in_force_once_open(held: Held, file: Path, bench: Any) -> None:
    write(file, "ads.example\n")
    assert not held.has(ADS)
    held.open(bench.make)
    assert held.has(ADS)
    assert held.snapshot() == {
        "format": "domains",
        "source": str(file),
        "entries": 1,
        "skipped": 0,
        "unreadable": 0,
        "bytes": 12,
        "fetched": 2e9,
        "error": "",
        "kept_back": "",
    }
    assert {path.name for path in (bench.folder / "lists").iterdir()} == {"ads.table"}


def test_a_restart_reads_nothing_that_did_not_change(held: Held, file: Path, bench: Any) -> None:
    write(file, "ads.example\n")
    held.open(bench.make)
    assert again(held, bench).has(ADS)
    assert len(bench.made) == 1
    write(file, "other.example\n", 1.1e9)
    assert not again(held, bench).has(ADS)
    assert len(bench.made) == 2


def test_one_that_was_just_written_is_in_force_at_a_start(
    held: Held, file: Path, bench: Any
) -> None:
    write(file, "ads.example\n", bench.wall())
    held.open(bench.make)
    assert held.has(ADS)


def test_a_file_that_is_being_written_is_left_to_finish(held: Held, file: Path, bench: Any) -> None:
    write(file, "ads.example\n")
    held.open(bench.make)
    assert not held.changed()
    write(file, "ads.exam", bench.wall() - 0.5)
    assert not held.changed()
    bench.clock.advance(5)
    assert held.changed()
    held.renew(bench.make)
    assert not held.changed()


def test_a_file_that_is_gone_changes_nothing(held: Held, file: Path, bench: Any) -> None:
    write(file, "ads.example\n")
    held.open(bench.make)
    file.unlink()
    assert not held.changed()
    assert held.error == f"{file}: No such file or directory"
    assert held.has(ADS)
    assert again(held, bench).has(ADS)
    write(file, "ads.example\nmore.example\n")
    assert held.changed()
    held.renew(bench.make)
    assert held.error == ""
    assert held.snapshot()["entries"] == 2


WORSE = {
    "emptied": "",
    "shrunk": "ads.example\n",
    "page": "<html><body>ads.example</body></html>",
    "prose": "ads.example\n" + "what is this\n" * 20,
    "another_format": "0.0.0.0 ads.example\n" * 40,
}


@pytest.mark.parametrize("text", WORSE.values(), ids=WORSE)
def test_what_is_worse_is_kept_back_until_forced(
    text: str, held: Held, file: Path, bench: Any
) -> None:
    good = "".join(f"{number}.example\n" for number in range(19)) + "ads.example\n"
    write(file, good)
    held.open(bench.make)
    write(file, text, 1.1e9)
    assert held.changed()
    held.renew(bench.make)
    assert held.kept_back
    assert held.has(ADS)
    assert not held.changed()
    after = again(held, bench)
    assert after.kept_back == held.kept_back
    assert after.has(ADS)
    assert after.force()
    assert after.kept_back == ""
    assert after.has(ADS) is ("ads.example\n" in text and "0.0" not in text)
    assert not after.force()
    assert again(held, bench).kept_back == ""


def test_a_good_one_ends_what_was_kept_back(held: Held, file: Path, bench: Any) -> None:
    write(file, "ads.example\n")
    held.open(bench.make)
    write(file, "", 1.1e9)
    held.renew(bench.make)
    assert held.kept_back == "it is empty; there were 1 entries"
    write(file, "more.example\n", 1.2e9)
    held.renew(bench.make)
    assert held.kept_back == ""
    assert not held.force()
    assert not held.has(ADS)


def test_a_failure_to_read_changes_nothing(held: Held, file: Path, bench: Any) -> None:
    write(file, "ads.example\n")
    held.open(bench.make)
    bench.fault = "killed"
    write(file, "more.example\n", 1.1e9)
    held.renew(bench.make)
    assert (held.error, held.kept_back) == ("killed", "")
    assert held.has(ADS)
    assert not held.changed()  # it is not tried again and again


def test_other_settings_begin_anew(held: Held, file: Path, bench: Any, source: Any) -> None:
    write(file, "0.0.0.0 www.ads.example\n")
    held.open(bench.make)
    assert held.kept_back
    other = Held("ads", source(file=file, format="hosts"), bench.folder / "lists", bench.wall)
    other.open(bench.make)
    assert other.has(ADS)
    assert not other.has(asked("http://ads.example/"))


def test_a_damaged_table_is_made_again(held: Held, file: Path, bench: Any) -> None:
    write(file, "ads.example\n")
    held.open(bench.make)
    (bench.folder / "lists/ads.table").write_bytes(b"damaged")
    assert again(held, bench).has(ADS)


def test_what_was_fetched_is_kept(fetched: Held, bench: Any) -> None:
    fetched.open(bench.make)
    assert fetched.at is None
    fetched.new_list.write_text("ads.example\n")
    fetched.renew(bench.make, fetched.new_list, etag='"1"')
    names = {path.name for path in (bench.folder / "lists").iterdir()}
    assert names == {"ads.table", "ads.list"}
    bench.clock.advance(100)
    after = again(fetched, bench)
    assert after.has(ADS)
    assert after.notes["etag"] == '"1"'
    assert after.at == 2e9
    after.unchanged()
    assert again(fetched, bench).at == 2e9 + 100
    assert len(bench.made) == 1


def test_a_table_of_another_version_is_made_of_the_copy(fetched: Held, bench: Any) -> None:
    fetched.new_list.write_text("ads.example\n")
    fetched.renew(bench.make, fetched.new_list)
    table = bench.folder / "lists/ads.table"
    table.write_bytes(table.read_bytes().replace(b'"version": 1', b'"version": 0'))
    assert again(fetched, bench).has(ADS)


def test_another_url_has_no_copy(fetched: Held, bench: Any, source: Any) -> None:
    fetched.new_list.write_text("ads.example\n")
    fetched.renew(bench.make, fetched.new_list)
    other = Held("ads", source(url="http://other.example/"), bench.folder / "lists", bench.wall)
    other.open(bench.make)
    assert not other.has(ADS)
    assert other.notes == {}


def test_no_secret_of_a_url_is_told_or_kept(fetched: Held, bench: Any) -> None:
    fetched.new_list.write_text("ads.example\n")
    fetched.renew(bench.make, fetched.new_list)
    assert fetched.snapshot()["source"] == "http://h.example/l"
    assert "secret" not in f"{fetched!r} {fetched.snapshot()}"
    assert b"secret" not in (bench.folder / "lists/ads.table").read_bytes()
    assert shown("https://a:b@h.example:8/x?y#z") == "https://h.example:8/x"


def test_files_are_named_after_the_list() -> None:
    assert stem_of("malware") == "malware"
    assert "/" not in stem_of("../a/b")
    assert len(stem_of("x" * 300)) == 32
