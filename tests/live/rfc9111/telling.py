"""What a cache tells of itself: Cache-Status (RFC 9211)."""

from __future__ import annotations

from rfc9111.table import MAY, MUST, MUST_NOT, SHOULD, Like, Row, confirm, fails, fetch, hit, says

KEPT = "Cache-Control: max-age=3600"
TAG = 'ETag: "a"'


def tells(pattern: str) -> dict[str, Like]:
    return {"cache-status": Like(pattern)}


ROWS = [
    Row(
        "cache_status_hit",
        "9211 §2.1",
        SHOULD,
        "A hit says so, and how long it is fresh.",
        fetch(says(KEPT)),
        hit(shows=tells(r"^twistproxy; hit; ttl=(3600|359[0-9])$")),
    ),
    Row(
        "cache_status_uri_miss",
        "9211 §2.2",
        SHOULD,
        "Nothing is stored for the URL.",
        fetch(says(KEPT), shows=tells(r"^twistproxy; fwd=uri-miss;")),
    ),
    Row(
        "cache_status_fwd_status",
        "9211 §2.3",
        MAY,
        "The status that the origin answered.",
        fetch(says(status=404), shows=tells(r"fwd-status=404\b")),
    ),
    Row(
        "cache_status_stored",
        "9211 §2.5",
        MAY,
        "Whether the response is stored.",
        fetch(says(KEPT), shows=tells(r"; stored\b")),
    ),
    Row(
        "cache_status_not_stored",
        "9211 §2.5",
        MUST_NOT,
        "What isn't stored isn't said to be.",
        fetch(says("Cache-Control: no-store"), shows=tells(r"^((?!; stored).)*$")),
    ),
    Row(
        "cache_status_why_not_stored",
        "9211 §2.8",
        MAY,
        "Why it isn't.",
        fetch(says("Cache-Control: no-store"), shows=tells(r"; detail=no-store")),
    ),
    Row(
        "cache_status_hit_excludes_fwd",
        "9211 §2.2",
        MUST_NOT,
        "A hit has no fwd.",
        fetch(says(KEPT)),
        hit(shows=tells(r"^((?!fwd).)*$")),
    ),
    Row(
        "cache_status_fwd_excludes_hit",
        "9211 §2.2",
        MUST_NOT,
        "What was forwarded is no hit.",
        fetch(says(KEPT), shows=tells(r"^((?!hit).)*$")),
    ),
    Row(
        "cache_status_stale",
        "9211 §2.2",
        SHOULD,
        "What is stored is stale, and was confirmed.",
        fetch(says("Cache-Control: max-age=60", "Age: 100", TAG)),
        confirm(says(KEPT, status=304), shows=tells(r"^twistproxy; fwd=stale; fwd-status=304")),
    ),
    Row(
        "cache_status_stale_and_replaced",
        "9211 §2.2",
        SHOULD,
        "What is stored is stale, and was replaced.",
        fetch(says("Cache-Control: max-age=60", "Age: 100", TAG)),
        fetch(says(KEPT), shows=tells(r"^twistproxy; fwd=stale; fwd-status=200; .*stored")),
    ),
    Row(
        "cache_status_request",
        "9211 §2.2",
        SHOULD,
        "The client wants the origin asked.",
        fetch(says(KEPT, TAG)),
        confirm(
            says(KEPT, status=304),
            "Cache-Control: no-cache",
            shows=tells(r"^twistproxy; fwd=request;"),
        ),
    ),
    Row(
        "cache_status_method",
        "9211 §2.2",
        SHOULD,
        "The method isn't one that a cache answers.",
        fetch(says(), method="POST", content="a", shows=tells(r"^twistproxy; fwd=method;")),
    ),
    Row(
        "cache_status_vary_miss",
        "9211 §2.2",
        SHOULD,
        "Another variant is stored.",
        fetch(says(KEPT, "Vary: Foo"), "Foo: 1"),
        fetch(says(KEPT, "Vary: Foo"), "Foo: 2", shows=tells(r"^twistproxy; fwd=vary-miss;")),
    ),
    Row(
        "cache_status_partial",
        "9211 §2.2",
        SHOULD,
        "A part of it is stored.",
        fetch(
            says(KEPT, TAG, "Content-Range: bytes 0-4/10", status=206, body="01234"),
            "Range: bytes=0-4",
        ),
        fetch(
            says(KEPT, TAG, "Content-Range: bytes 5-9/10", status=206, body="56789"),
            "Range: bytes=5-9",
            shows=tells(r"^twistproxy; fwd=partial;"),
        ),
    ),
    Row(
        "cache_status_negative_ttl",
        "9211 §2.4",
        MUST,
        "ttl is negative for what is stale.",
        fetch(says("Cache-Control: max-age=60", "Age: 100", TAG)),
        hit("Cache-Control: max-stale", shows=tells(r"^twistproxy; hit; ttl=-4[0-9]$")),
    ),
    Row(
        "cache_status_collapsed",
        "9211 §2.6",
        MAY,
        "Requests that waited for another's answer say so.",
        fetch(
            says(KEPT, delay=0.4),
            together=2,
            body="cache_status_collapsed: step 1",
            shows=tells(r"^twistproxy; (fwd=uri-miss|hit)"),
        ),
    ),
    Row(
        "cache_status_of_an_error_of_ours",
        "9211 §2",
        SHOULD,
        "An answer of our own says what the cache did, too.",
        fails(504, "Cache-Control: only-if-cached", shows=tells(r"^twistproxy; ")),
    ),
    Row(
        "cache_status_is_not_stored_twice",
        "9211 §2",
        MUST,
        "Members of caches nearer to the origin stay, ours is appended.",
        fetch(
            says(KEPT, "Cache-Status: Origin; hit"),
            shows=tells(r"^Origin; hit, twistproxy; fwd=uri-miss; fwd-status=200; stored"),
        ),
        hit(shows=tells(r"^Origin; hit, twistproxy; hit; ttl=\d+$")),
    ),
    Row(
        "cache_status_of_a_304_to_the_client",
        "9211 §2.1",
        SHOULD,
        "A 304 out of the cache is a hit.",
        fetch(says(KEPT, TAG)),
        hit('If-None-Match: "a"', status=304, shows=tells(r"^twistproxy; hit; ttl=")),
    ),
    Row(
        "cache_status_names_no_key",
        "9211 §2.7",
        MAY,
        "The key isn't told: it would name pools.",
        fetch(says(KEPT)),
        hit(shows=tells(r"^((?!key=).)*$")),
        remark="Not taken; the console tells it.",
    ),
    Row(
        "cache_status_has_nothing_in_interim_responses",
        "9211 §2",
        MUST_NOT,
        "Interim responses pass without it; the final one has it once.",
        fetch(
            says(KEPT, interim=("103 Early Hints\r\nLink: </a>",)),
            interim=(103,),
            shows=tells(r"^twistproxy; [^,]*$"),
        ),
    ),
]
