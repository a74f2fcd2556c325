"""What twistd reads to offer ``twistproxy``: data only, since every twistd loads every plugin."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

twistproxy = ServiceMaker(
    "twistproxy", "twistproxy.tap", "Forward and reverse proxy.", "twistproxy"
)
