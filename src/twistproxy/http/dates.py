"""HTTP dates (RFC 9110 §5.6.7): three spellings are read, one is written."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import date
from email.utils import formatdate
from functools import lru_cache
from time import gmtime

_MONTHS = b"jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAY = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_TIME = rb"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)"


def _spelling(*parts: bytes) -> re.Pattern[bytes]:
    # Case-insensitive, as a cache should be (RFC 9111 §4.2). A day's name that doesn't fit the
    # date is let through: the date is what everybody else goes by.
    return re.compile(b" ".join(parts), re.IGNORECASE)


# Sun, 06 Nov 1994 08:49:37 GMT
_FIXDATE = _spelling(_DAY + rb",", rb"(?P<day>\d\d)", _MONTH, rb"(?P<year>\d{4})", _TIME, rb"GMT")
# Sunday, 06-Nov-94 08:49:37 GMT
_RFC850 = _spelling(
    _LONG_DAY + rb",", rb"(?P<day>\d\d)-" + _MONTH + rb"-(?P<year>\d\d)", _TIME, rb"GMT"
)
# Sun Nov  6 08:49:37 1994
_ASCTIME = _spelling(_DAY, _MONTH, rb"(?P<day>[ \d]\d)", _TIME, rb"(?P<year>\d{4})")


def parse_date(value: bytes, now: float) -> int | None:
    """Seconds since 1970 of an HTTP date; None if it isn't one, other zones included.

    now: for years of two digits, which are never more than 50 years ahead.
    """
    # The spellings differ in length.
    if len(value) == 29:
        return _fixdate(value)
    if len(value) == 24:
        return _seconds(_ASCTIME.fullmatch(value))
    found = _RFC850.fullmatch(value)
    return _seconds(found, gmtime(now).tm_year)


@lru_cache(maxsize=64)
def _fixdate(value: bytes) -> int | None:
    # Most dates are now, or a file's on everybody's page.
    return _seconds(_FIXDATE.fullmatch(value))


def _seconds(found: re.Match[bytes] | None, this_year: int = 0) -> int | None:
    if found is None:
        return None
    year, day = int(found["year"]), int(found["day"])
    month = _MONTHS.index(found["month"].lower()) + 1
    if this_year:
        year += this_year - this_year % 100
        if year > this_year + 50:
            year -= 100
    try:
        date(year, month, day)
    except ValueError:
        return None
    return timegm(
        (year, month, day, int(found["hour"]), int(found["minute"]), int(found["second"]))
    )


def format_date(now: float) -> bytes:
    """IMF-fixdate of a time in seconds since 1970, fractions cut off."""
    return _format(int(now))


@lru_cache(maxsize=8)
def _format(second: int) -> bytes:
    # One second's responses all say the same.
    return formatdate(second, usegmt=True).encode("ascii")
