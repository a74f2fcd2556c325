"""nobody: takes everything, at once."""

from __future__ import annotations

import inspect

from twistproxy.wire import ClientStream, Peer
from twistproxy.wire.nobody import Nobody


def test_it_can_be_answered_like_a_client() -> None:
    wanted = {name for name, _ in inspect.getmembers(ClientStream) if not name.startswith("_")}
    assert wanted <= {name for name in dir(Nobody(Peer("", 0, 0))) if not name.startswith("_")}


def test_it_never_stalls_and_takes_a_file_at_once() -> None:
    nobody = Nobody(Peer("127.0.0.1", 1, 2))
    ended: list[str] = []
    nobody.send_file(None, None, 0, 10, print, ended.append)  # type: ignore[arg-type]
    assert ended == [""]
    assert not nobody.stalled
    assert nobody.sink() is None
