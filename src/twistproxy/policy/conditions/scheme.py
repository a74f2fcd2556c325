"""scheme: ``http`` or ``https``. A tunnel has none."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.config.errors import did_you_mean
from twistproxy.http.uri import DEFAULT_PORTS
from twistproxy.policy import Means, Question


class Scheme:
    def __init__(self, schemes: Iterable[str], means: Means) -> None:
        self._schemes = frozenset(schemes)
        for scheme in self._schemes:
            if scheme not in DEFAULT_PORTS:
                hint = did_you_mean(scheme.lower(), DEFAULT_PORTS)
                raise ValueError("no scheme of a request" + (hint or "; known: http, https"))

    def holds(self, question: Question) -> bool:
        return question.target.scheme in self._schemes

    def seen(self, question: Question) -> str:
        return question.target.scheme or "a tunnel"
