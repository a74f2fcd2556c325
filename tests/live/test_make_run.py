"""``make run``: what it prints works when it is pasted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import need
from program import PATIENCE, free_port, in_ci, takes_connections, until

CHECKOUT = Path(__file__).parents[2]
PORTS = (3128, 8080, 2222)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the demo prints, while it runs; ended by ^C."""
    need("ssh-keygen")
    if any(map(takes_connections, PORTS)):
        message = f"one of the ports {PORTS} is taken"
        pytest.fail(message) if in_ci() else pytest.skip(message)
    output = tmp_path_factory.mktemp("demo") / "output"
    environment = {**os.environ, "DEMO_PORT": str(free_port())}
    with output.open("wb") as file:
        # A session of its own: the signal below goes to the whole group, as a terminal's ^C does.
        demo = subprocess.Popen(
            [sys.executable, "etc/demo.py"],
            cwd=CHECKOUT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: "console" in output.read_text() or demo.poll() is not None)
        assert demo.poll() is None, output.read_text()
        yield output.read_text()
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(PATIENCE) == 0, output.read_text()
        assert "Traceback" not in output.read_text()
        assert not any(map(takes_connections, PORTS))
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()


def paste(line: str) -> str:
    done = subprocess.run(
        ["bash", "-c", line], cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_line_works(printed: str) -> None:
    need("curl"), need("ssh")
    curls = re.findall(r"^ +(curl .*)$", printed, re.M)
    (ssh,) = re.findall(r"^ +(ssh .*)$", printed, re.M)
    assert len(curls) == 3
    reverse, forward, blocked = map(paste, curls)
    assert "HTTP/1.1 200" in reverse
    assert "Request 1 to the demo origin" in reverse
    assert "Request 1 to the demo origin" in forward
    assert "; hit" in forward.lower().replace(";hit", "; hit")
    assert "HTTP/1.1 403" in blocked
    assert re.search(r"^hits [1-9]", paste(ssh), re.M)
