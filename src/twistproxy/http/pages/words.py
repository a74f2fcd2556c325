"""What our pages say, in each language that they speak.

English is what `errors` is written in; every other language has a text for each of its texts.
Details that a text is filled in with stay as they are (names, numbers, what a parser says), but
for the few that are words of ours.

To add a language: its `Words` here, its line in `WORDS`; tests/http/pages/test_words.py demands
the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Final

from attrs import frozen

from twistproxy.http.errors import Problem


@frozen
class Words:
    """A language. language: its tag (RFC 5646) in lower case. texts: for those of `errors`, by the
    English one. details: words that those are filled in with, as patterns.
    """

    language: str
    phrases: Mapping[int, str]
    any_error: str
    texts: Mapping[str, str]
    details: tuple[tuple[re.Pattern[str], str], ...]
    units: tuple[str, str, str, str, str]
    labels: Mapping[str, str]
    again: str
    denied: str
    failed: str
    tell_proxy: str
    tell_site: str
    cloaked: Mapping[int, str]

    def phrase(self, status: int) -> str:
        """What a status is called."""
        return self.phrases.get(status, self.any_error)

    def text(self, problem: Problem, cloak: bool) -> str:
        """What went wrong, as plain text."""
        if cloak and problem.name not in _OF_THE_REQUEST:
            return self.cloaked.get(problem.status, self.cloaked[500])
        if problem.template is None:
            return self.texts.get(problem.text, problem.text)
        told = self.texts.get(problem.template)
        if told is None:
            return problem.text
        return told.format(**{name: self._word(text) for name, text in problem.details.items()})

    def wait(self, seconds: float) -> str:
        """So many seconds, rounded up, in the largest unit of which there are two."""
        one, *units = self.units
        for unit, size in zip(reversed(units), (86400, 3600, 60, 1), strict=True):
            if seconds >= 2 * size or (size == 1 and seconds > 1):
                return f"{ceil(seconds / size)} {unit}"
        return f"1 {one}"

    def _word(self, detail: str) -> str:
        for pattern, told in self.details:
            if pattern.fullmatch(detail):
                return pattern.sub(told, detail)
        return detail


# Their texts speak of the request alone, so that they are told behind a cloak, too.
_OF_THE_REQUEST: Final = ("http_request_error", "http_request_denied")

ENGLISH: Final = Words(
    language="en",
    phrases={status.value: status.phrase for status in HTTPStatus},
    any_error="Error",
    texts={},
    details=(),
    units=("second", "seconds", "minutes", "hours", "days"),
    labels={
        "url": "Address",
        "error": "Error",
        "rule": "Rule",
        "request_id": "Request",
        "proxy": "Proxy",
    },
    again="Try again in {wait}.",
    denied="If you think this is a mistake, {tell}.",
    failed="If this goes on, {tell}.",
    tell_proxy="tell whoever runs this proxy what is written below",
    tell_site="tell whoever runs this site what is written below",
    # In place of texts that name a server, by status.
    cloaked={
        403: "This is not allowed.",
        404: "There is nothing under this address.",
        500: "The request could not be answered.",
        502: "The request got no usable answer. Trying again in a moment may help.",
        503: "There is too much to do at the moment. Trying again in a moment may help.",
        504: "The answer took too long. Trying again in a moment may help.",
    },
)

# For what the policy's limits say.
_PERIODS: Final = {"second": "Sekunde", "minute": "Minute", "hour": "Stunde", "day": "Tag"}
_WINDOWS: Final = {"hour": "dieser Stunde", "day": "dieses Tages", "month": "dieses Monats"}
_AMOUNTS: Final = {
    "{amount} requests": "{amount} Anfragen",
    "{amount}": "{amount}",
    "{amount} minutes": "{amount} Minuten",
}

GERMAN: Final = Words(
    language="de",
    phrases={
        300: "Mehrere Möglichkeiten",
        301: "Dauerhaft verschoben",
        302: "Woanders zu finden",
        303: "Siehe anderswo",
        304: "Nicht geändert",
        305: "Über einen Proxy zu erreichen",
        307: "Vorübergehend verschoben",
        308: "Dauerhaft verschoben",
        400: "Fehlerhafte Anfrage",
        401: "Anmeldung erforderlich",
        402: "Bezahlung erforderlich",
        403: "Nicht erlaubt",
        404: "Nicht gefunden",
        405: "Methode nicht erlaubt",
        406: "Nicht in passender Form vorhanden",
        407: "Anmeldung am Proxy erforderlich",
        408: "Anfrage kam nicht rechtzeitig",
        409: "Konflikt",
        410: "Nicht mehr vorhanden",
        411: "Länge erforderlich",
        412: "Vorbedingung nicht erfüllt",
        413: "Inhalt zu groß",
        414: "Adresse zu lang",
        415: "Art des Inhalts nicht unterstützt",
        416: "Bereich nicht vorhanden",
        417: "Erwartung nicht erfüllbar",
        418: "Ich bin eine Teekanne",
        421: "Falscher Empfänger",
        422: "Inhalt nicht verwendbar",
        423: "Gesperrt",
        424: "Voraussetzung fehlgeschlagen",
        425: "Zu früh",
        426: "Anderes Protokoll erforderlich",
        428: "Vorbedingung erforderlich",
        429: "Zu viele Anfragen",
        431: "Kopf der Anfrage zu groß",
        451: "Aus rechtlichen Gründen nicht verfügbar",
        500: "Interner Fehler",
        501: "Nicht unterstützt",
        502: "Keine brauchbare Antwort",
        503: "Zurzeit nicht verfügbar",
        504: "Keine Antwort in der Zeit",
        505: "HTTP-Version nicht unterstützt",
        506: "Auswahl ohne Ende",
        507: "Zu wenig Speicherplatz",
        508: "Endlose Schleife",
        510: "Erweiterung erforderlich",
        511: "Anmeldung am Netz erforderlich",
    },
    any_error="Fehler",
    texts={
        "The request can't be understood: {why}.": "Die Anfrage ist nicht zu verstehen: {why}.",
        "The request did not arrive in time.": "Die Anfrage kam nicht rechtzeitig an.",
        "A request with this method needs a Content-Length.": (
            "Eine Anfrage mit dieser Methode braucht eine Content-Length."
        ),
        "The request's body is larger than {limit} bytes.": (
            "Der Inhalt der Anfrage ist größer als {limit} Bytes."
        ),
        "The request's target is longer than {limit} bytes.": (
            "Das Ziel der Anfrage ist länger als {limit} Bytes."
        ),
        "Only Expect: 100-continue is understood.": "Verstanden wird nur Expect: 100-continue.",
        "The request's head is larger than {limit}.": (
            "Der Kopf der Anfrage ist größer als {limit}."
        ),
        "Transfer-Encoding can only be chunked.": "Transfer-Encoding kann nur chunked sein.",
        "Only HTTP/1.0 and HTTP/1.1 are spoken here.": (
            "Hier wird nur HTTP/1.0 und HTTP/1.1 gesprochen."
        ),
        "Nothing is served under {url}.": "Unter {url} ist nichts zu finden.",
        "The host {host} is not served on this TLS connection.": (
            "{host} ist auf dieser TLS-Verbindung nicht zu erreichen."
        ),
        "{method} is not possible here.": "{method} ist hier nicht möglich.",
        "This is a forward proxy: it takes http://host/path and CONNECT host:port. "
        "Set it as the proxy of your client, do not open it as a page.": (
            "Dies ist ein Forward-Proxy: er nimmt http://host/pfad und CONNECT host:port. "
            "Er wird als Proxy eingestellt, nicht als Seite geöffnet."
        ),
        "What was asked for is to be found elsewhere.": (
            "Das Gewünschte ist an anderer Stelle zu finden."
        ),
        "{what} is not allowed here.": "{what} ist hier nicht erlaubt.",
        "{what} is not allowed here: {why}.": "{what} ist hier nicht erlaubt: {why}.",
        **{
            f"Requests are limited to {{limit}} per {period}; the next may come in {{wait}} s.": (
                f"Erlaubt sind {{limit}} Anfragen pro {told}; die nächste geht in {{wait}} s."
            )
            for period, told in _PERIODS.items()
        },
        **{
            f"The {amount} of the {period} are used up; more from {{until}}.": (
                f"Die {amounts} {told} sind aufgebraucht; mehr gibt es ab {{until}}."
            )
            for amount, amounts in _AMOUNTS.items()
            for period, told in _WINDOWS.items()
        },
        "Requests are limited to {limit} at once; try again when one of them is over.": (
            "Erlaubt sind {limit} Anfragen zugleich; die nächste, sobald eine davon zu Ende ist."
        ),
        "The name {host} was not resolved in time.": (
            "Der Name {host} wurde nicht rechtzeitig aufgelöst."
        ),
        "The name {host} can't be resolved.": "Der Name {host} lässt sich nicht auflösen.",
        "No server of pool {pool} can take the request now.": (
            "Zurzeit kann kein Server des Pools {pool} die Anfrage annehmen."
        ),
        "{host} has only addresses that this proxy does not connect to (private or special).": (
            "{host} hat nur Adressen, zu denen dieser Proxy keine Verbindung aufbaut "
            "(private oder besondere)."
        ),
        "There is no route to {server}.": "Zu {server} gibt es keinen Weg.",
        "{server} refused the connection; is it running?": (
            "{server} hat die Verbindung abgelehnt; läuft dort etwas?"
        ),
        "{server} closed the connection without an answer.": (
            "{server} hat die Verbindung ohne eine Antwort geschlossen."
        ),
        "{server} did not take the connection in time.": (
            "{server} hat die Verbindung nicht rechtzeitig angenommen."
        ),
        "{server} stopped sending in the middle of its answer.": (
            "{server} hat mitten in der Antwort aufgehört zu senden."
        ),
        "{server} stopped reading the request.": ("{server} hat aufgehört, die Anfrage zu lesen."),
        "As many connections are open as the limits allow: {what}.": (
            "Es sind so viele Verbindungen offen, wie die Grenzen erlauben: {what}."
        ),
        "TLS with {server} failed: {why}.": "TLS mit {server} ist gescheitert: {why}.",
        "The certificate of {server} is not valid: {why}.": (
            "Das Zertifikat von {server} ist nicht gültig: {why}."
        ),
        "{server} closed the connection within its answer.": (
            "{server} hat die Verbindung mitten in der Antwort geschlossen."
        ),
        "The answer's head is larger than {limit}.": (
            "Der Kopf der Antwort ist größer als {limit}."
        ),
        "The answer's transfer coding is not chunked.": (
            "Die Übertragung der Antwort ist anders als chunked kodiert."
        ),
        "{server} did not answer in time.": "{server} hat nicht rechtzeitig geantwortet.",
        "The answer's chunks are broken: {why}.": (
            "Die Stücke der Antwort (chunks) sind fehlerhaft: {why}."
        ),
        "{server} switched to a protocol nobody asked for.": (
            "{server} hat zu einem Protokoll gewechselt, das niemand wollte."
        ),
        "The answer can't be understood: {why}.": "Die Antwort ist nicht zu verstehen: {why}.",
        "The server could not answer the request.": (
            "Der Server konnte die Anfrage nicht beantworten."
        ),
        "The parent {server} wants credentials that it is not given.": (
            "Der übergeordnete Proxy {server} verlangt eine Anmeldung, die er nicht bekommt."
        ),
        "The proxy failed; its log says how.": (
            "Der Proxy hat versagt; sein Protokoll sagt, woran."
        ),
        "It is not in the cache, and only-if-cached was asked for.": (
            "Es ist nicht im Cache, und verlangt war only-if-cached."
        ),
        "The request would come back to this proxy.": ("Die Anfrage käme zu diesem Proxy zurück."),
    },
    details=(
        (re.compile("This"), "Das"),
        (re.compile("Your address"), "Ihre Adresse"),
        (
            re.compile("an operator was asked, and said no"),
            "die Betreuung wurde gefragt und hat abgelehnt",
        ),
        (re.compile("an operator has said no to it"), "die Betreuung hat es abgelehnt"),
        (
            re.compile("an operator was asked, and did not answer in time"),
            "die Betreuung wurde gefragt und hat nicht rechtzeitig geantwortet",
        ),
        (
            re.compile("an operator would have to be asked, who is asked too much already"),
            "die Betreuung müsste gefragt werden, wird aber schon zu viel gefragt",
        ),
        (re.compile("CONNECT to port ([0-9]+)"), r"CONNECT zum Port \1"),
        (re.compile("([0-9]+) bytes"), r"\1 Bytes"),
        (re.compile("([0-9]+) fields"), r"\1 Felder"),
        (re.compile("([0-9]+) in all"), r"\1 insgesamt"),
        (re.compile("([0-9]+) from one address"), r"\1 von einer Adresse"),
    ),
    # As they follow "in".
    units=("Sekunde", "Sekunden", "Minuten", "Stunden", "Tagen"),
    labels={
        "url": "Adresse",
        "error": "Fehler",
        "rule": "Regel",
        "request_id": "Anfrage",
        "proxy": "Proxy",
    },
    again="In {wait} geht es wieder.",
    denied="Falls das ein Irrtum ist, {tell}.",
    failed="Falls das so bleibt, {tell}.",
    tell_proxy="nennen Sie denen, die diesen Proxy betreiben, was unten steht",
    tell_site="nennen Sie denen, die diese Website betreiben, was unten steht",
    cloaked={
        403: "Das ist nicht erlaubt.",
        404: "Unter dieser Adresse ist nichts zu finden.",
        500: "Die Anfrage konnte nicht beantwortet werden.",
        502: "Es kam keine brauchbare Antwort. Vielleicht hilft es, es gleich noch einmal "
        "zu versuchen.",
        503: "Gerade ist zu viel zu tun. Vielleicht hilft es, es gleich noch einmal zu versuchen.",
        504: "Die Antwort brauchte zu lange. Vielleicht hilft es, es gleich noch einmal "
        "zu versuchen.",
    },
)

#: By tag; the first is for who asks for none.
WORDS: Final[Mapping[str, Words]] = {words.language: words for words in (ENGLISH, GERMAN)}
