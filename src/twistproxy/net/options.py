"""What is asked of the kernel for each connection. An accepted one has what its listener has."""

from __future__ import annotations

import socket
from typing import Any, Final

#: Bytes that may wait in the kernel before the transport waits itself. It would take 4 MiB for
#: each peer that doesn't read: memory that nobody counts, and work for slow peers before that of
#: others.
UNSENT: Final = 128 << 10

_OPTIONS: Final = [
    # A small write must not wait for the peer to acknowledge the one before.
    (socket.TCP_NODELAY, 1),
]
if hasattr(socket, "TCP_NOTSENT_LOWAT"):
    _OPTIONS.append((socket.TCP_NOTSENT_LOWAT, UNSENT))


def tune(handle: Any) -> None:
    """Set them on a socket, as far as it has them. None: there is no socket."""
    for option, value in _OPTIONS:
        try:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)
        except (AttributeError, OSError):
            return
