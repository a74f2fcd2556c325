"""The configurations in etc/examples, run, and asked by curl for what they promise.

Places that would be far away are replaced by ours, hours by such as hold or don't, whenever it is.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clients import Curl, curl
from conftest import Keep, Start
from origins import Received, Recording
from program import Program, until

EXAMPLES = Path(__file__).parent.parent.parent / "etc" / "examples"
#: Of what an example listens on, and where it writes.
PLACES = {
    "${PORT:-3128}": "$forward",
    "${PORT:-8080}": "$reverse",
    "${APPLICATION_PORT:-9000}": "$origin",
    "${ACCESS_LOG:--}": "access.log",
    "[forward]\n": '[forward]\nallow_private = ["127.0.0.0/8"]\n',
}
ALWAYS = '"00:00-24:00"'

Run = Callable[..., Program]


def answer(request: Received) -> bytes:
    kind = "application/x-msdownload" if request.target.endswith(".exe") else "text/plain"
    head = f"Content-Type: {kind}\r\nX-Powered-By: Something/1.0\r\nCache-Control: no-store"
    return f"HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 5\r\n\r\nhello".encode()


@pytest.fixture
def origin(keep: Keep[Recording]) -> Recording:
    return keep(Recording(answer))


@pytest.fixture
def run(start: Start, origin: Recording, tmp_path: Path) -> Run:
    """run(name, {what to replace: by what}): an example as a running program."""

    def run(name: str, places: dict[str, str] | None = None) -> Program:
        text = (EXAMPLES / f"{name}.toml").read_text()
        for old, new in {**(places or {}), **PLACES}.items():
            text = text.replace(old, new)
        for old in places or {}:
            assert old not in text
        for file in EXAMPLES.glob(f"{name}.*"):  # lists, of which this host is one more
            if file.suffix != ".toml":
                (tmp_path / file.name).write_text(file.read_text())
                text = text.replace(f'"{file.name}"', f'"{tmp_path / file.name}"')
        return start(text, origin=origin.port)

    return run


def through(proxy: Program, url: str, folder: Path, *options: object) -> Curl:
    return curl("--proxy", f"http://127.0.0.1:{proxy.forward}", *options, url, folder=folder)


def by_hand(proxy: Program, *words: str) -> str:
    run = "import sys; from twistproxy import cli; sys.exit(cli.cli())"
    command = [sys.executable, "-c", run, *words, "--config", str(proxy.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def test_build_jobs(run: Run, origin: Recording, tmp_path: Path) -> None:
    proxy = run("build-jobs", {'"python.packages.example"': '"127.0.0.1"'})
    place = f"127.0.0.1:{origin.port}"
    assert through(proxy, f"http://{place}/simple/", tmp_path).status == 200
    assert through(proxy, f"http://{place}/", tmp_path, "--data", "x").status == 403
    proxy.access(rule="no-plain-upload", status=403)
    through(proxy, "https://abc.ngrok.app/", tmp_path)
    proxy.access(rule="drop-places", status=403)

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(through, proxy, f"http://localhost:{origin.port}/new", tmp_path)
        number = until(lambda: re.search(r"^ *(\d+) .*localhost", by_hand(proxy, "asks"), re.M))
        assert "/new" not in [request.target for request in origin.requests]
        by_hand(proxy, "answer", number[1], "hour")
        assert going.result().status == 200
    assert through(proxy, f"http://localhost:{origin.port}/again", tmp_path).status == 200
    proxy.access(2, rule="new-places", status=200)


BEDTIME = '"Sun,Mon-Thu 21:00-07:00", "Fri,Sat 22:30-08:00"'
NEVER = '"00:00-24:00"], client = ["192.0.2.1"'


def test_family_by_day(run: Run, origin: Recording, tmp_path: Path) -> None:
    used_up = {"minutes = 60": "requests = 1", '".youtube.com"': '"localhost"'}
    proxy = run("family", {f"[{BEDTIME}]": f"[{NEVER}]", **used_up})
    assert through(proxy, f"http://127.0.0.1:{origin.port}/", tmp_path).status == 200
    led = through(proxy, "http://www.google.com/search?q=x", tmp_path)
    assert led.status == 302
    assert "location: https://safe.duckduckgo.com/\n" in led.head.lower()
    assert through(proxy, "http://www.casino.example/", tmp_path).status == 403
    video = f"http://localhost:{origin.port}/"
    assert through(proxy, video, tmp_path).status == 200
    refused = through(proxy, video, tmp_path, "--header", "Accept: text/html")
    assert refused.status == 429
    assert "retry-after: " in refused.head.lower()
    assert b"used up; more from " in refused.body


def test_family_at_night(run: Run, origin: Recording, tmp_path: Path) -> None:
    proxy = run("family", {BEDTIME: ALWAYS, '"school.example"': '"localhost"'})
    assert through(proxy, f"http://127.0.0.1:{origin.port}/", tmp_path).status == 403
    proxy.access(rule="bedtime", status=403)
    assert through(proxy, f"http://localhost:{origin.port}/", tmp_path).status == 200
    proxy.access(rule="school", status=200)


def test_company(run: Run, origin: Recording, tmp_path: Path) -> None:
    places = {
        '"Mon-Fri 08:00-18:00"': ALWAYS,
        '"10.8.0.0/16"': '"127.0.0.8"',
        '".mega.nz"': '"127.0.0.1"',
    }
    proxy = run("company", places)
    listed = tmp_path / "company.domains"
    listed.write_text(f"{listed.read_text()}localhost\n")  # read again, since it has changed
    url = f"http://localhost:{origin.port}/"
    until(lambda: through(proxy, url, tmp_path).status == 403)
    proxy.access(rule="unwanted", status=403)
    assert through(proxy, url, tmp_path, "--interface", "127.0.0.8").status == 200
    assert through(proxy, "http://x.phishing.example/", tmp_path).status == 403
    proxy.access(rule="harmful", status=403)
    place = f"http://127.0.0.1:{origin.port}"
    assert through(proxy, f"{place}/", tmp_path).status == 200
    until(lambda: "The rule no-file-drops would have said deny" in proxy.log)
    assert through(proxy, f"{place}/setup.exe", tmp_path).status == 403
    proxy.access(rule="no-plain-programs", status=403)


def test_login(run: Run, origin: Recording, tmp_path: Path) -> None:
    proxy = run("login")
    place = f"http://127.0.0.1:{proxy.reverse}"

    def status(path: str, *options: object) -> int:
        return curl(*options, f"{place}{path}", folder=tmp_path).status

    page = curl(f"{place}/", folder=tmp_path)
    assert page.status == 200
    head = page.head.lower()
    assert "x-frame-options: deny\n" in head
    assert "x-content-type-options: nosniff\n" in head
    assert "x-powered-by" not in head
    assert status("/", "--user-agent", "sqlmap/1.8") == 403
    assert status("/", "--request", "PROPFIND") == 405
    assert status("/login", "--request", "DELETE") == 405
    assert status("/login", "--user-agent", "") == 403
    assert status("/admin/", "--interface", "127.0.0.9") == 404
    assert status("/admin/") == 200

    tries = [status("/login", "--data", f"secret={n}") for n in range(10)]
    assert tries == [200] * 10
    refused = curl("--path-as-is", "--data", "secret=11", f"{place}//x/../%6Cogin", folder=tmp_path)
    assert refused.status == 429
    assert "retry-after: " in refused.head.lower()
    assert sum(request.method == "POST" for request in origin.requests) == 10
    assert status("/login") == 200  # who only looks is not counted
