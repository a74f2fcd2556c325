"""Whether a peer takes what it is sent.

A transport pauses its producer when its buffer is full and resumes it when that is empty
again. In between a peer may be slow or gone: the kernel knows how many bytes it acknowledged.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120  # in struct tcp_info, since Linux 4.1


class Progress:
    """What a peer acknowledged when it was last asked."""

    __slots__ = ("_acked",)

    def __init__(self) -> None:
        self._acked = -1

    def made(self, transport: Any) -> bool:
        """Whether the peer has acknowledged bytes since the last call; True at the first."""
        acked = bytes_acked(transport)
        before, self._acked = self._acked, acked
        return acked > before


def bytes_acked(transport: Any) -> int:
    """Bytes that the peer's kernel has acknowledged; 0 where nobody knows."""
    try:
        # Under TLS the transport's own transport has the socket.
        handle = getattr(transport, "transport", transport).getHandle()
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        acked: int = _BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0]
        return acked
    except (AttributeError, OSError, struct.error):
        return 0
