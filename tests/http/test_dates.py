"""HTTP dates: what is read, what is refused, what is written (RFC 9110 §5.6.7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.dates import format_date, parse_date

NOW = 1_750_000_000.0  # June 2025
THEN = 784111777

READ = {
    "imf_fixdate": (b"Sun, 06 Nov 1994 08:49:37 GMT", THEN),
    "rfc850": (b"Sunday, 06-Nov-94 08:49:37 GMT", THEN),
    "asctime": (b"Sun Nov  6 08:49:37 1994", THEN),
    "asctime_two_digit_day": (b"Wed Nov 16 08:49:37 1994", THEN + 10 * 86400),
    "any_case": (b"sun, 06 nov 1994 08:49:37 gmt", THEN),  # RFC 9111 §4.2
    "wrong_day_name": (b"Mon, 06 Nov 1994 08:49:37 GMT", THEN),
    "leap_second": (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),
    "leap_day": (b"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800),
    "before_1970": (b"Wed, 31 Dec 1969 23:59:59 GMT", -1),
    "far_future": (b"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
    "rfc850_this_century": (b"Monday, 06-Nov-34 08:49:37 GMT", 2046415777),
    "rfc850_fifty_years_ahead": (b"Friday, 06-Nov-75 08:49:37 GMT", 3340255777),
    "rfc850_more_than_fifty": (b"Saturday, 06-Nov-76 08:49:37 GMT", 216118177),
}
REFUSED = {
    "empty": b"",
    "zero": b"0",
    "minus_one": b"-1",
    "seconds": b"784111777",
    "other_zone": b"Sun, 06 Nov 1994 08:49:37 CET",
    "numeric_zone": b"Sun, 06 Nov 1994 08:49:37 +0000",
    "utc": b"Sun, 06 Nov 1994 08:49:37 UTC",
    "no_zone": b"Sun, 06 Nov 1994 08:49:37",
    "iso_8601": b"1994-11-06T08:49:37Z",
    "one_digit_day": b"Sun, 6 Nov 1994 08:49:37 GMT",
    "day_31_of_november": b"Thu, 31 Nov 1994 08:49:37 GMT",
    "no_leap_year": b"Wed, 29 Feb 2023 08:49:37 GMT",
    "day_zero": b"Sun, 00 Nov 1994 08:49:37 GMT",
    "year_zero": b"Sun, 06 Nov 0000 08:49:37 GMT",
    "hour_24": b"Sun, 06 Nov 1994 24:00:00 GMT",
    "minute_60": b"Sun, 06 Nov 1994 08:60:00 GMT",
    "second_61": b"Sun, 06 Nov 1994 08:49:61 GMT",
    "two_dates": b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    "text_after": b"Sun, 06 Nov 1994 08:49:37 GMT ",
    "unknown_month": b"Sun, 06 Nob 1994 08:49:37 GMT",
    "unicode_digits": "Sun, 06 Nov 199٤ 08:49:37 GMT".encode(),
}


@pytest.mark.parametrize(("value", "seconds"), READ.values(), ids=READ)
def test_read(value: bytes, seconds: int) -> None:
    assert parse_date(value, NOW) == seconds


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_refused(value: bytes) -> None:
    assert parse_date(value, NOW) is None


def test_written() -> None:
    assert format_date(THEN + 0.9) == b"Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(0, 253402300799))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_date(format_date(seconds), NOW) == seconds


@given(st.binary(max_size=40))
def test_anything_else_is_none_or_a_number(value: bytes) -> None:
    assert parse_date(value, NOW) is None or isinstance(parse_date(value, NOW), int)
