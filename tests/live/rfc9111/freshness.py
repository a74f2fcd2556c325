"""How long a response is fresh (RFC 9111 §4.2, §5.2.2, §5.3), and RFC 8246."""

from __future__ import annotations

from rfc9111.table import (
    MAY,
    MUST,
    MUST_NOT,
    SHOULD,
    Row,
    confirm,
    fetch,
    hit,
    not_reused,
    reused,
    says,
)

DATE = "Date: {now}"

ROWS = [
    # max-age
    Row(
        "max_age",
        "9111 §4.2",
        MAY,
        "A fresh response is reused.",
        *reused("Cache-Control: max-age=60"),
    ),
    Row(
        "max_age_is_over",
        "9111 §4.2",
        MUST_NOT,
        "When its lifetime is over a response isn't reused.",
        fetch(says("Cache-Control: max-age=1")),
        hit(),
        fetch(says("Cache-Control: max-age=1"), after=2.1),
    ),
    Row(
        "max_age_0",
        "9111 §5.2.2.1",
        MUST_NOT,
        "With max-age=0 a response is stale from the start.",
        *not_reused("Cache-Control: max-age=0"),
    ),
    Row(
        "max_age_0_beats_expires",
        "9111 §5.3",
        MUST,
        "Where there is max-age Expires is ignored: max-age=0.",
        *not_reused("Cache-Control: max-age=0", "Expires: {now+3600}", DATE),
    ),
    Row(
        "max_age_beats_past_expires",
        "9111 §5.3",
        MUST,
        "Where there is max-age Expires is ignored, were it past.",
        *reused("Cache-Control: max-age=3600", "Expires: {now-7200}", DATE),
    ),
    Row(
        "max_age_beats_invalid_expires",
        "9111 §5.3",
        MUST,
        "Where there is max-age Expires is ignored, were it no date.",
        *reused("Cache-Control: max-age=3600", "Expires: 0", DATE),
    ),
    Row(
        "max_age_in_any_case",
        "9111 §5.2",
        MUST,
        "Names of directives are the same in any case.",
        *reused("Cache-Control: MaX-aGe=60"),
    ),
    *(
        Row(
            f"max_age_{value}",
            "9111 §1.2.2",
            MUST,
            f"max-age={value} is a long time, and no overflow.",
            *reused(f"Cache-Control: max-age={value}"),
        )
        for value in (2147483647, 2147483648, 2147483649, 99999999999, 2**64, 10**40)
    ),
    Row(
        "max_age_with_leading_zeros",
        "9111 §1.2.2",
        MUST,
        "Leading zeros are digits like others.",
        *reused("Cache-Control: max-age=003600"),
    ),
    Row(
        "max_age_quoted",
        "9111 §5.2",
        SHOULD,
        "An argument in quotes is read like one without.",
        *reused('Cache-Control: max-age="60"'),
    ),
    Row(
        "max_age_quoted_0",
        "9111 §5.2",
        SHOULD,
        "An argument in quotes is read like one without: 0.",
        *not_reused('Cache-Control: max-age="0"', "Expires: {now+60}", DATE),
    ),
    *(
        Row(
            f"max_age_invalid_{name}",
            "9111 §4.2.1",
            SHOULD,
            f"A response with a lifetime that is none is stale: max-age={value}",
            *not_reused(f"Cache-Control: max-age={value}", "Expires: {now+60}", DATE),
        )
        for name, value in {
            "negative": "-3600",
            "single_quoted": "'3600'",
            "leading_alpha": "a3600",
            "trailing_alpha": "3600a",
            "decimal": "3600.0",
            "decimal_half": "3600.5",
            "plus": "+3600",
            "empty": "",
            "quoted_empty": '""',
            "hexadecimal": "0x3600",
            "exponent": "36e2",
            "space_after_equals": " 3600",
        }.items()
    ),
    Row(
        "max_age_without_argument",
        "9111 §4.2.1",
        SHOULD,
        "max-age without an argument is stale.",
        *not_reused("Cache-Control: max-age", "Expires: {now+60}", DATE),
    ),
    Row(
        "max_age_twice_shorter_first",
        "9111 §4.2.1",
        SHOULD,
        "Of two lifetimes the first counts, or the response is stale.",
        fetch(says("Cache-Control: max-age=0, max-age=1800")),
        fetch(says("Cache-Control: max-age=0, max-age=1800")),
    ),
    Row(
        "max_age_twice_longer_first",
        "9111 §4.2.1",
        SHOULD,
        "Of two lifetimes the first counts, or the response is stale.",
        *not_reused("Cache-Control: max-age=1800, max-age=0"),
        remark="We take the shorter.",
    ),
    Row(
        "max_age_twice_on_lines",
        "9111 §4.2.1",
        SHOULD,
        "Lines make no difference.",
        *not_reused("Cache-Control: max-age=1800", "Cache-Control: max-age=0"),
    ),
    Row(
        "max_age_twice_the_same",
        "9111 §4.2.1",
        MAY,
        "What is said twice in the same words is no contradiction.",
        *reused("Cache-Control: max-age=60", "Cache-Control: max-age=60"),
    ),
    Row(
        "max_age_in_an_extension_before",
        "9111 §5.2",
        MUST,
        "max-age in a quoted string isn't max-age.",
        *not_reused('Cache-Control: x="max-age=3600", max-age=0'),
    ),
    Row(
        "max_age_in_an_extension_after",
        "9111 §5.2",
        MUST,
        "max-age in a quoted string isn't max-age.",
        *not_reused('Cache-Control: max-age=0, x="max-age=3600"'),
    ),
    Row(
        "max_age_beside_an_extension",
        "9111 §5.2.3",
        MUST,
        "An unknown directive doesn't disturb a known one.",
        *reused("Cache-Control: foobar, max-age=3600"),
    ),
    # s-maxage
    Row(
        "s_maxage",
        "9111 §5.2.2.10",
        MAY,
        "s-maxage alone is a lifetime.",
        *reused("Cache-Control: s-maxage=60"),
    ),
    Row(
        "s_maxage_beats_longer_max_age",
        "9111 §5.2.2.10",
        MUST,
        "s-maxage counts rather than a longer max-age.",
        *not_reused("Cache-Control: max-age=3600, s-maxage=0"),
    ),
    Row(
        "s_maxage_beats_longer_max_age_reversed",
        "9111 §5.2.2.10",
        MUST,
        "In any order.",
        *not_reused("Cache-Control: s-maxage=0, max-age=3600"),
    ),
    Row(
        "s_maxage_beats_longer_max_age_on_lines",
        "9111 §5.2.2.10",
        MUST,
        "On any lines.",
        *not_reused("Cache-Control: max-age=3600", "Cache-Control: s-maxage=0"),
    ),
    Row(
        "s_maxage_beats_shorter_max_age",
        "9111 §5.2.2.10",
        MUST,
        "s-maxage counts rather than a shorter max-age.",
        *reused("Cache-Control: max-age=0, s-maxage=3600"),
    ),
    Row(
        "s_maxage_beats_past_expires",
        "9111 §5.2.2.10",
        MUST,
        "s-maxage counts rather than Expires.",
        *reused("Cache-Control: max-age=0, s-maxage=3600", "Expires: {now-10}", DATE),
    ),
    Row(
        "s_maxage_invalid",
        "9111 §4.2.1",
        SHOULD,
        "An s-maxage that is no number makes stale.",
        *not_reused("Cache-Control: max-age=3600, s-maxage=soon"),
    ),
    # public
    Row(
        "public_alone_is_no_lifetime",
        "9111 §5.2.2.9",
        MAY,
        "public allows storing, but without anything to go by there is no lifetime.",
        *not_reused("Cache-Control: public"),
    ),
    # must-revalidate, proxy-revalidate
    Row(
        "must_revalidate_while_fresh",
        "9111 §5.2.2.2",
        MAY,
        "must-revalidate changes nothing while fresh.",
        *reused("Cache-Control: max-age=60, must-revalidate", 'ETag: "a"'),
    ),
    Row(
        "must_revalidate_when_stale",
        "9111 §5.2.2.2",
        MUST,
        "A stale response with must-revalidate is confirmed before use.",
        fetch(says("Cache-Control: max-age=60, must-revalidate", 'ETag: "a"', "Age: 61")),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
    ),
    Row(
        "proxy_revalidate_while_fresh",
        "9111 §5.2.2.8",
        MAY,
        "proxy-revalidate changes nothing while fresh.",
        *reused("Cache-Control: max-age=60, proxy-revalidate", 'ETag: "a"'),
    ),
    Row(
        "proxy_revalidate_when_stale",
        "9111 §5.2.2.8",
        MUST,
        "A stale response with proxy-revalidate is confirmed before use.",
        fetch(says("Cache-Control: max-age=60, proxy-revalidate", 'ETag: "a"', "Age: 61")),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
    ),
    # Expires
    Row(
        "expires_in_the_future",
        "9111 §4.2.1",
        MAY,
        "A response is fresh until Expires.",
        *reused("Expires: {now+3600}", DATE),
    ),
    Row(
        "expires_in_the_past",
        "9111 §4.2.1",
        MUST_NOT,
        "Past Expires it is stale.",
        *not_reused("Expires: {now-3600}", DATE),
    ),
    Row(
        "expires_now",
        "9111 §4.2.1",
        MUST_NOT,
        "Expires at its Date is stale.",
        *not_reused("Expires: {now}", DATE),
    ),
    Row(
        "expires_before_date_both_ahead",
        "9111 §4.2.1",
        MUST_NOT,
        "The lifetime is Expires minus Date, so the origin's clock may be wrong: both are ahead.",
        *not_reused("Expires: {now+300}", "Date: {now+400}"),
    ),
    Row(
        "expires_after_date_both_ahead",
        "9111 §4.2.1",
        MAY,
        "An origin whose clock is ahead gives as long a lifetime as any other.",
        *reused("Expires: {now+400}", "Date: {now+300}"),
    ),
    Row(
        "expires_after_a_date_that_is_none",
        "9110 §6.6.1",
        MUST,
        "With a Date that is no date the time of receipt counts.",
        *reused("Expires: {now+60}", "Date: foo"),
    ),
    Row(
        "expires_without_date",
        "9110 §6.6.1",
        MUST,
        "Without Date the time of receipt counts.",
        *reused("Expires: {now+60}"),
    ),
    Row(
        "expires_stays_as_it_is",
        "9111 §3.1",
        MUST,
        "Expires is sent again as it came.",
        fetch(says("Expires: {now+3600}", DATE)),
        hit(shows={"expires": "{now+3600}", "date": "{now}"}),
    ),
    *(
        Row(
            f"expires_{name}",
            section,
            MUST,
            f"A date in {what} is read.",
            *reused(f"Expires: {value}", DATE),
        )
        for name, section, what, value in (
            ("rfc850", "9110 §5.6.7", "RFC 850's form", "{now+3600 rfc850}"),
            ("rfc850_far", "9110 §5.6.7", "RFC 850's form", "Thursday, 18-Aug-50 02:01:18 GMT"),
            ("asctime", "9110 §5.6.7", "asctime's form", "{now+3600 asctime}"),
            ("asctime_of_one_digit", "9110 §5.6.7", "asctime's form", "Mon Aug  8 02:01:18 2050"),
            ("beyond_2038", "9110 §5.6.7", "more than 31 bits", "Tue, 19 Jan 2038 14:14:08 GMT"),
            ("in_2286", "9110 §5.6.7", "another century", "Sun, 21 Nov 2286 04:46:39 GMT"),
            ("in_9999", "9110 §5.6.7", "the last year", "Fri, 31 Dec 9999 23:59:59 GMT"),
        )
    ),
    *(
        Row(
            f"expires_{name}",
            "9111 §4.2",
            SHOULD,
            f"Words of a date are the same in any case: {value}",
            *reused(f"Expires: {value}", DATE),
        )
        for name, value in {
            "day_in_capitals": "THU, 18 Aug 2050 02:01:18 GMT",
            "month_in_capitals": "Thu, 18 AUG 2050 02:01:18 GMT",
            "zone_in_mixed_case": "Thu, 18 Aug 2050 02:01:18 gMT",
        }.items()
    ),
    *(
        Row(
            f"expires_invalid_{name}",
            "9111 §5.3",
            MUST,
            f"Expires that is no date is past: {value or 'nothing'}",
            *not_reused(f"Expires: {value}", DATE),
        )
        for name, value in {
            "zero": "0",
            "minus_one": "-1",
            "empty": "",
            "word": "never",
            "utc": "Thu, 18 Aug 2050 02:01:18 UTC",
            "other_zone": "Thu, 18 Aug 2050 02:01:18 AEST",
            "offset": "Thu, 18 Aug 2050 02:01:18 +0000",
            "year_of_two_digits": "Thu, 18 Aug 50 02:01:18 GMT",
            "no_comma": "Thu 18 Aug 2050 02:01:18 GMT",
            "two_spaces": "Thu, 18  Aug  2050 02:01:18 GMT",
            "dashes": "Thu, 18-Aug-2050 02:01:18 GMT",
            "dots": "Thu, 18 Aug 2050 02.01.18 GMT",
            "hour_of_one_digit": "Thu, 18 Aug 2050 2:01:18 GMT",
            "no_such_day": "Wed, 31 Feb 2050 02:01:18 GMT",
            "no_zone": "Thu, 18 Aug 2050 02:01:18",
            "seconds_since_1970": "2544400878",
        }.items()
    ),
    Row(
        "expires_on_two_lines",
        "9111 §4.2.1",
        SHOULD,
        "Two different dates are stale.",
        *not_reused(
            "Expires: Thu, 18 Aug 2050 02:01:18 GMT", "Expires: Thu, 18 Aug 2050 02:01:19 GMT", DATE
        ),
    ),
    Row(
        "expires_beside_a_cache_control_without_lifetime",
        "9111 §4.2.1",
        MUST,
        "Cache-Control without a lifetime leaves it to Expires.",
        *reused("Cache-Control: public", "Expires: {now+60}", DATE),
    ),
    # RFC 8246
    Row(
        "immutable_while_fresh",
        "8246 §2",
        SHOULD,
        "A fresh immutable response is reused.",
        *reused("Cache-Control: max-age=60, immutable", 'ETag: "a"'),
    ),
    Row(
        "immutable_has_no_lifetime_of_its_own",
        "8246 §2",
        MUST_NOT,
        "immutable alone makes nothing fresh.",
        fetch(says("Cache-Control: immutable", 'ETag: "a"')),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
    ),
    Row(
        "immutable_when_stale",
        "8246 §2",
        MUST,
        "A stale immutable response is confirmed like any other.",
        fetch(says("Cache-Control: max-age=60, immutable", 'ETag: "a"', "Age: 61")),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
    ),
    Row(
        "immutable_with_an_argument",
        "8246 §2",
        MUST,
        "immutable has no argument; one is ignored.",
        *reused("Cache-Control: max-age=60, immutable=yes"),
    ),
    Row(
        "immutable_and_a_reload",
        "8246 §2",
        SHOULD,
        "A client's no-cache asks the origin in any case: it is its word against nobody's.",
        fetch(says("Cache-Control: max-age=60, immutable", 'ETag: "a"')),
        confirm(
            says('ETag: "a"', status=304), "Cache-Control: no-cache", got={"if-none-match": '"a"'}
        ),
    ),
]
