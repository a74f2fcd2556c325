"""Whether a peer takes what it is sent.

A transport pauses its producer when its buffer is full and resumes it when that is empty
again. In between a peer may be slow or gone: the kernel knows how many bytes it acknowledged.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120  # in struct tcp_info, since Linux 4.1


class Progress:
    """What a transport's peer had acknowledged when it was last asked."""

    __slots__ = ("_acked", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._acked = bytes_acked(transport)

    def made(self) -> bool:
        """Whether the peer has acknowledged bytes since the last call, or the beginning."""
        before, self._acked = self._acked, bytes_acked(self._transport)
        return self._acked > before


def bytes_acked(transport: Any) -> int:
    """Bytes that the peer's kernel has acknowledged; 0 where nobody knows.

    Which is on unix sockets, whose peer is at hand, and elsewhere than on Linux: there a peer
    has to empty the buffer within the time-out.
    """
    if sys.platform != "linux":
        return 0
    try:
        info = _handle(transport).getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        acked: int = _BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0]
        return acked
    except (AttributeError, OSError, struct.error):
        return 0


def _handle(transport: Any) -> Any:
    """The socket; under TLS the transport's own transport has it."""
    return getattr(transport, "transport", transport).getHandle()
