"""endpoints: where to listen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import serverFromString
from twisted.internet.testing import MemoryReactor

from twistproxy.config.endpoints import absolute, is_loopback, parse

LOOPBACK = {
    "tcp:3128:interface=127.0.0.1": True,
    "tcp:3128:127.1.2.3": True,
    r"tcp:3128:interface=\:\:1": True,
    "unix:/run/proxy.sock": True,
    "tcp:3128": False,
    "tcp:3128:interface=": False,
    "tcp:3128:interface=0.0.0.0": False,
    r"tcp:3128:interface=\:\:": False,
    r"tcp:3128:interface=\:\:ffff\:127.0.0.1": False,  # a dual socket? then say so plainly
    "tcp:3128:interface=10.0.0.1:backlog=128": False,
    "systemd:INET:name=proxy": False,
    "systemd:UNIX:index=0": False,
}


@pytest.mark.parametrize(("text", "loopback"), LOOPBACK.items(), ids=LOOPBACK)
def test_is_loopback(text, loopback):
    assert is_loopback(text) is loopback


def test_parse_names_all_parameters():
    assert parse(r"tcp:0:interface=\:\:1") == ("tcp", {"port": "0", "interface": "::1"})
    assert parse(r"unix:/a\:b\\c:660:lockfile=0") == (
        "unix",
        {"address": "/a:b\\c", "mode": "660", "lockfile": "0"},
    )


def test_absolute_is_for_unix_sockets_alone():
    assert absolute("tcp:1:interface=127.0.0.1", Path("/a")) == "tcp:1:interface=127.0.0.1"
    assert absolute("unix:b.sock:mode=600", Path("/a:")) == r"unix:/a\:/b.sock:mode=600"
    assert absolute("unix:/b.sock", Path("/a")) == "unix:/b.sock"


PARTS = ["tcp", "unix", ":", "=", "\\", "\\:", "3128", "0", "port", "interface", "127.0.0.1", "1"]
PARTS += ["mode", "660", "backlog", "lockfile", "address", "/a", "", "::1", "٣", "-1", "\0"]


@given(st.lists(st.sampled_from(PARTS), max_size=9).map("".join))
def test_twisted_takes_what_passes(text):
    try:
        parse(text)
    except ValueError:
        return
    assert serverFromString(MemoryReactor(), text)
