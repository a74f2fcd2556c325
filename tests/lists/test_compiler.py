from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from twistproxy.lists import compiler
from twistproxy.lists.compiler import Compiler, NotMade, compile_list, identity, opened


def test_another_process_makes_a_table(tmp_path: Path) -> None:
    source, table = tmp_path / "list", tmp_path / "table"
    source.write_text("ads.example\nwww.ads.example\nwhat is this\n")
    made = Compiler().make(source, "domains", table, {"of": "x"})
    assert made.lines() == ["elpmaxe.sda."]
    head = made.head
    assert (head["entries"], head["skipped"], head["unreadable"]) == (2, 0, 1)
    assert head["notes"] == {"of": "x"}
    assert head["identity"] == identity(os.stat(source))
    assert head["bytes"] == source.stat().st_size
    assert table.stat().st_mode & 0o777 == 0o600


def test_it_does_not_take_modules_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('json of somebody else')")
    (tmp_path / "list").write_text("ads.example\n")
    monkeypatch.chdir(tmp_path)
    made = Compiler().make(Path("list"), "domains", Path("table"), {})
    assert made.head["entries"] == 1


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    source, table = tmp_path / "list.gz", tmp_path / "table"
    source.write_bytes(gzip.compress(b"ads.example\n"))
    compile_list(str(source), "domains", str(table), {})
    assert opened(table).lines() == ["elpmaxe.sda."]


def test_a_table_that_is_mapped_does_not_change(tmp_path: Path) -> None:
    source, table = tmp_path / "list", tmp_path / "table"
    source.write_text("one.example\n")
    compile_list(str(source), "domains", str(table), {})
    before = opened(table)
    source.write_text("")
    compile_list(str(source), "domains", str(table), {})
    assert before.lines() == ["elpmaxe.eno."]


BROKEN = {
    "no_file": (None, "No such file"),
    "packed_and_cut_off": (gzip.compress(b"ads.example\n" * 99)[:-9], "end-of-stream"),
    "packed_badly": (b"\x1f\x8b no gzip", "compression method"),
    "unpacked_too_large": (gzip.compress(b"a.example\n" * 1000), "larger than 2000 bytes"),
}


@pytest.mark.parametrize(("raw", "why"), BROKEN.values(), ids=BROKEN)
def test_what_can_t_be_read(
    raw: bytes | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "SIZE_MAX", 2000)
    if raw is not None:
        (tmp_path / "list").write_bytes(raw)
    with pytest.raises((OSError, EOFError, ValueError), match=why):
        compile_list(str(tmp_path / "list"), "domains", str(tmp_path / "table"), {})
    assert not (tmp_path / "table").exists()


def test_the_process_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(NotMade, match=r"could not be read: .*No such file"):
        Compiler().make(tmp_path / "none", "domains", tmp_path / "table", {})


def test_it_is_killed_when_it_takes_too_long(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list")  # nobody ever writes to it
    with pytest.raises(NotMade, match=r"longer than 0.5 s"):
        Compiler(0.5).make(tmp_path / "list", "domains", tmp_path / "table", {})


def test_it_is_killed_when_we_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list")
    ours = Compiler(60)
    why: list[str] = []

    def make() -> None:
        with pytest.raises(NotMade) as raised:
            ours.make(tmp_path / "list", "domains", tmp_path / "table", {})
        why.append(str(raised.value))

    thread = Thread(target=make)
    thread.start()
    ours.close()
    thread.join(30)
    assert why == ["it could not be read: exit status -9"]


def test_no_process_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(NotMade, match="another process: No such file"):
        Compiler().make(tmp_path / "list", "domains", tmp_path / "table", {})


@pytest.mark.parametrize("raw", [b"", b"no table"])
def test_what_is_no_table_is_not_opened(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(raw)
    with pytest.raises(NotMade):
        opened(tmp_path / "table")
    with pytest.raises(NotMade, match="No such file"):
        opened(tmp_path / "none")


def test_it_runs_with_low_priority_and_bounds(tmp_path: Path) -> None:
    """As a whole: what `main` sets holds in the process that runs it."""
    code = (
        "import sys, os, resource, io\n"
        'sys.stdin = io.StringIO(\'{"source": "none", "format": "hosts",'
        ' "table": "t", "notes": {}}\')\n'
        "from twistproxy.lists.compiler import main\n"
        "try: main()\n"
        "except SystemExit: print(os.nice(0), resource.getrlimit(resource.RLIMIT_CPU)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path)
    nice, seconds = map(int, done.stdout.split())
    assert nice >= 10
    assert seconds == compiler.PATIENCE
