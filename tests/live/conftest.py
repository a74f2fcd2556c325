"""The real program on each reactor, and who it talks with; all is ended by the one who began it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import TypeVar

import pytest
from certificates import Authority
from origins import Echo, Nginx, Recording, Scripted, Squid, Talk
from program import Program, many_files

Start = Callable[..., Program]
Closing = TypeVar("Closing", Nginx, Squid, Scripted, Echo)
Keep = Callable[[Closing], Closing]


@pytest.fixture(scope="session", autouse=True)
def _many_files() -> None:
    many_files()


@pytest.fixture(scope="module", params=["uvloop", "epoll"])
def reactor(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


def _starting(reactor: str, factory: pytest.TempPathFactory) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(text: str, **names: object) -> Program:
            program = Program(factory.mktemp("program"), reactor, text, **names)
            stack.callback(program.kill)
            program.ready()
            stack.callback(program.end)
            return program

        yield start


@pytest.fixture
def start(reactor: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """start(configuration, **names): a running Program for one test."""
    yield from _starting(reactor, tmp_path_factory)


@pytest.fixture(scope="module")
def start_shared(reactor: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """The same for all tests of a file."""
    yield from _starting(reactor, tmp_path_factory)


@pytest.fixture(scope="module")
def keep() -> Iterator[Keep[Closing]]:
    """keep(server): the server, closed after the file's last test."""
    with ExitStack() as stack:

        def keep_one(server: Closing) -> Closing:
            stack.callback(server.close)
            return server

        yield keep_one


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def make_nginx(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, keep: Keep[Nginx]
) -> Callable[[str], Nginx]:
    """make_nginx(name): nginx with http and https for localhost."""

    def make(name: str = "nginx") -> Nginx:
        pair = authority.issue("localhost", "127.0.0.1")
        return keep(Nginx(tmp_path_factory.mktemp(name), name, pair))

    return make


@pytest.fixture(scope="module")
def nginx(make_nginx: Callable[[], Nginx]) -> Nginx:
    return make_nginx()


@pytest.fixture(scope="module")
def recording(keep: Keep[Recording]) -> Recording:
    return keep(Recording())


@pytest.fixture
def scripted(keep: Keep[Scripted]) -> Callable[[Callable[[Talk], None]], Scripted]:
    """scripted(script): a server that plays it on each connection."""
    return lambda script, **options: keep(Scripted(script, **options))


_serial = count()


@pytest.fixture
def unique() -> str:
    """A path segment that no other test uses."""
    return f"n{next(_serial)}"
