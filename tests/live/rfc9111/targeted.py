"""Fields for some caches alone (RFC 9213): Twistproxy-Cache-Control, CDN-Cache-Control."""

from __future__ import annotations

from rfc9111.table import (
    MAY,
    MUST,
    MUST_NOT,
    About,
    Row,
    confirm,
    fetch,
    hit,
    not_reused,
    reused,
    says,
    stale,
)

DATE = "Date: {now}"
LONG = "Cache-Control: max-age=3600"

ROWS = [
    Row(
        "cdn_max_age",
        "9213 §3.1",
        MAY,
        "A lifetime for CDNs.",
        *reused("CDN-Cache-Control: max-age=60"),
    ),
    *(
        Row(
            f"cdn_max_age_{value}",
            "9213 §2.1",
            MAY,
            f"max-age={value} is a long time.",
            *reused(f"CDN-Cache-Control: max-age={value}"),
        )
        for value in (2147483648, 99999999999)
    ),
    Row(
        "cdn_max_age_0",
        "9213 §2.2",
        MUST_NOT,
        "No lifetime for CDNs.",
        *not_reused("CDN-Cache-Control: max-age=0"),
    ),
    Row(
        "cdn_max_age_and_age",
        "9111 §4.2",
        MUST_NOT,
        "What came older than that isn't reused.",
        *not_reused("CDN-Cache-Control: max-age=3600", DATE, "Age: 7200"),
    ),
    Row(
        "cdn_with_an_extension",
        "9213 §2.1",
        MAY,
        "Directives that a cache doesn't know are ignored.",
        *reused("CDN-Cache-Control: foobar, max-age=3600"),
    ),
    Row(
        "cdn_beats_past_expires",
        "9213 §2.2",
        MUST,
        "Expires is ignored: were it past.",
        *reused("CDN-Cache-Control: max-age=3600", "Expires: {now-10000}", DATE),
    ),
    Row(
        "cdn_beats_invalid_expires",
        "9213 §2.2",
        MUST,
        "Expires is ignored: were it no date.",
        *reused("CDN-Cache-Control: max-age=3600", "Expires: 0", DATE),
    ),
    Row(
        "cdn_beats_future_expires",
        "9213 §2.2",
        MUST,
        "Expires is ignored: were it far.",
        *not_reused("CDN-Cache-Control: max-age=0", "Expires: {now+10000}", DATE),
    ),
    Row(
        "cdn_beats_shorter_max_age",
        "9213 §2.2",
        MUST,
        "Cache-Control is ignored: were it shorter.",
        *reused("Cache-Control: max-age=0", "CDN-Cache-Control: max-age=3600"),
    ),
    Row(
        "cdn_beats_longer_max_age",
        "9213 §2.2",
        MUST,
        "Cache-Control is ignored: were it longer.",
        *not_reused(LONG, "CDN-Cache-Control: max-age=0"),
    ),
    Row(
        "cdn_beats_no_store",
        "9213 §2.2",
        MUST,
        "Cache-Control is ignored: were it no-store.",
        *reused("Cache-Control: no-store", "CDN-Cache-Control: max-age=3600"),
    ),
    Row(
        "cdn_beats_private",
        "9213 §2.2",
        MUST,
        "Cache-Control is ignored: were it private.",
        *reused("Cache-Control: private", "CDN-Cache-Control: max-age=3600"),
    ),
    Row(
        "cdn_beats_must_revalidate",
        "9213 §2.2",
        MUST,
        "Cache-Control is ignored: were it must-revalidate.",
        fetch(
            says(
                "Cache-Control: max-age=60, must-revalidate",
                "CDN-Cache-Control: max-age=60",
                "Age: 100",
                'ETag: "a"',
            )
        ),
        hit("Cache-Control: max-stale"),
    ),
    *(
        Row(
            f"cdn_{directive.replace('-', '_')}",
            "9213 §2.2",
            MUST,
            f"{directive} for CDNs counts, whatever others are told.",
            *not_reused(f"CDN-Cache-Control: {directive}", LONG, "Expires: {now+10000}", DATE),
        )
        for directive in ("private", "no-cache", "no-store")
    ),
    Row(
        "cdn_beats_public",
        "9213 §2.2",
        MUST,
        "Cache-Control is ignored: were it public.",
        fetch(
            says("Cache-Control: public, max-age=60", "CDN-Cache-Control: max-age=60"),
            "Authorization: Basic YTpi",
        ),
        fetch(says(LONG)),
    ),
    Row(
        "cdn_public",
        "9213 §2.2",
        MAY,
        "public for CDNs allows what public does.",
        fetch(says("CDN-Cache-Control: public, max-age=60"), "Authorization: Basic YTpi"),
        hit(),
    ),
    Row(
        "cdn_stale_while_revalidate",
        "9213 §2.2",
        MAY,
        "stale-while-revalidate for CDNs allows what that does.",
        fetch(
            says(
                "CDN-Cache-Control: max-age=60, stale-while-revalidate=3600",
                "Age: 100",
                'ETag: "a"',
            )
        ),
        stale(says(LONG, 'ETag: "a"', status=304)),
    ),
    Row(
        "cdn_private_field",
        "9213 §2.2",
        MUST_NOT,
        "private of a field for CDNs keeps that field out.",
        fetch(says('CDN-Cache-Control: max-age=60, private="X-A"', "X-A: 1", "X-B: 1")),
        hit(shows={"x-a": None, "x-b": "1"}),
    ),
    Row(
        "cdn_no_cache_is_confirmed",
        "9213 §2.2",
        MAY,
        "no-cache for CDNs: stored, and confirmed for each use.",
        fetch(says("CDN-Cache-Control: no-cache", LONG, 'ETag: "a"')),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
    ),
    Row(
        "cdn_max_age_after_a_304",
        "9111 §3.2",
        MUST,
        "A 304 updates it like any other field.",
        fetch(says("CDN-Cache-Control: max-age=60", "Age: 100", 'ETag: "a"')),
        confirm(says("CDN-Cache-Control: max-age=3600", 'ETag: "a"', status=304)),
        hit(),
    ),
    # structured fields
    *(
        Row(
            f"cdn_invalid_{name}",
            "9213 §2.1",
            MUST,
            f"A field that isn't a structured dictionary is ignored: {value}",
            *not_reused(f"CDN-Cache-Control: {value}", "Cache-Control: no-store"),
        )
        for name, value in {
            "type": "max-age=10000, &&&&&",
            "string": 'max-age="10000"',
            "comma": "max-age=10000,",
            "space_before_equals": "max-age =100",
            "space_after_equals": "max-age= 100",
        }.items()
    ),
    *(
        Row(
            f"cdn_invalid_{name}_leaves_cache_control",
            "9213 §2.2",
            MUST,
            f"Where it is ignored Cache-Control counts: {value or 'nothing'}",
            *reused(f"CDN-Cache-Control: {value}", LONG),
        )
        for name, value in {"type": "no-store, &&&&&", "empty": "", "comma": "max-age=0,"}.items()
    ),
    Row(
        "cdn_upper_case_is_no_key",
        "9213 §2.1",
        MUST,
        "Keys of a structured dictionary are lower case.",
        *not_reused("CDN-Cache-Control: MaX-aGe=3600", "Cache-Control: no-store"),
    ),
    Row(
        "cdn_parameters",
        "9213 §2.1",
        MUST,
        "Parameters that a cache doesn't know are ignored.",
        *reused("CDN-Cache-Control: max-age=60;foo=bar", "Cache-Control: no-store"),
    ),
    Row(
        "cdn_on_lines",
        "9110 §5.3",
        MUST,
        "Several lines are one dictionary.",
        *not_reused("CDN-Cache-Control: max-age=60", "CDN-Cache-Control: no-store"),
    ),
    Row(
        "cdn_twice",
        "9651 §4.2.2",
        MUST,
        "Of a key that is there twice the last counts.",
        *reused("CDN-Cache-Control: max-age=0, max-age=60"),
    ),
    Row(
        "cdn_false",
        "9213 §2.1",
        MAY,
        "no-store=?0 isn't a no-store of the right type; nothing is stored on its account.",
        *not_reused("CDN-Cache-Control: max-age=0, no-store=?0"),
    ),
    # passing on
    Row(
        "cdn_is_passed_on",
        "9213 §3.1",
        MAY,
        "The field is passed on, for CDNs further away.",
        fetch(says("CDN-Cache-Control: max-age=60"), shows={"cdn-cache-control": "max-age=60"}),
        hit(shows={"cdn-cache-control": "max-age=60"}),
    ),
    Row(
        "cdn_age_is_told",
        "9111 §5.1",
        MUST,
        "Age is told where CDNs live longer than others, too.",
        fetch(
            says("Cache-Control: max-age=1", "CDN-Cache-Control: max-age=1000", DATE, "Age: 100")
        ),
        hit(shows={"age": About(100), "date": "{now}"}),
    ),
    Row(
        "cdn_expires_stays",
        "9111 §3.1",
        MUST,
        "Expires is kept as it came.",
        fetch(says("Expires: {now+1}", "CDN-Cache-Control: max-age=1000", DATE)),
        hit(shows={"expires": "{now+1}"}),
    ),
    # ours
    Row(
        "ours_max_age",
        "9213 §2",
        MAY,
        "A lifetime for us.",
        *reused("Twistproxy-Cache-Control: max-age=60"),
    ),
    Row(
        "ours_beats_cdn",
        "9213 §2.2",
        MUST,
        "Our own field comes first in our target list.",
        *reused("CDN-Cache-Control: no-store", "Twistproxy-Cache-Control: max-age=60"),
    ),
    Row(
        "ours_beats_cdn_no_store",
        "9213 §2.2",
        MUST,
        "Our own field comes first in our target list.",
        *not_reused("CDN-Cache-Control: max-age=60", "Twistproxy-Cache-Control: no-store"),
    ),
    Row(
        "ours_invalid_leaves_cdn",
        "9213 §2.2",
        MUST,
        "Where ours is none the next of the list counts.",
        *reused(
            "CDN-Cache-Control: max-age=60",
            "Twistproxy-Cache-Control: &",
            "Cache-Control: no-store",
        ),
    ),
    Row(
        "field_of_others",
        "9213 §2.2",
        MUST,
        "A field for others is none of ours.",
        *not_reused("ExampleCDN-Cache-Control: max-age=60"),
    ),
]
