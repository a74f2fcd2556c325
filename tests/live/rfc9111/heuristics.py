"""Freshness that is guessed (RFC 9111 §4.2.2; statuses: RFC 9110 §15.1)."""

from __future__ import annotations

from rfc9111.table import MAY, MUST_NOT, SHOULD, Like, Row, fetch, hit, not_reused, reused, says

OLD = ("Last-Modified: {now-86400}", "Date: {now}")

ROWS = [
    *(
        Row(
            f"heuristic_{status}",
            "9110 §15.1",
            MAY,
            f"The freshness of a {status} with Last-Modified may be guessed.",
            *reused(*OLD, *(["Location: /x"] if 300 <= status < 400 else []), status=status),
        )
        for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)
    ),
    *(
        Row(
            f"heuristic_not_{status}",
            "9111 §4.2.2",
            MUST_NOT,
            f"The freshness of a {status} isn't guessed.",
            *not_reused(*OLD, *(["Location: /x"] if 300 <= status < 400 else []), status=status),
        )
        for status in (201, 202, 302, 303, 307, 400, 403, 451, 500, 502, 503, 504, 599)
    ),
    *(
        Row(
            f"heuristic_{status}_with_public",
            "9111 §4.2.2",
            MAY,
            f"With public the freshness of a {status} may be guessed.",
            *reused(*OLD, "Cache-Control: public", status=status),
        )
        for status in (302, 403, 599)
    ),
    Row(
        "heuristic_is_a_tenth",
        "9111 §4.2.2",
        SHOULD,
        "A response is taken for fresh for no more than a tenth of the time since it changed.",
        fetch(says("Last-Modified: {now-1000}", "Date: {now}")),
        hit(shows={"cache-status": Like(r"ttl=(100|9[0-9])\b")}),
    ),
    Row(
        "heuristic_is_over",
        "9111 §4.2.2",
        SHOULD,
        "After that tenth it is stale.",
        *not_reused("Last-Modified: {now-1000}", "Date: {now}", "Age: 101"),
    ),
    Row(
        "heuristic_has_a_bound",
        "9111 §4.2.2",
        SHOULD,
        "A guess has a bound: a day at most, however old the page is.",
        fetch(says("Last-Modified: {now-100000000}", "Date: {now}")),
        hit(shows={"cache-status": Like(r"ttl=(86400|863[0-9][0-9])\b")}),
    ),
    Row(
        "heuristic_of_the_future",
        "9111 §4.2.2",
        MUST_NOT,
        "What changes in the future isn't guessed to be fresh.",
        fetch(says("Last-Modified: {now+1000}", "Date: {now}")),
        fetch(says("Last-Modified: {now+1000}", "Date: {now}")),
    ),
    Row(
        "heuristic_without_date",
        "9111 §4.2.2",
        MAY,
        "Without Date the time of receipt counts.",
        *reused("Last-Modified: {now-86400}"),
    ),
    Row(
        "heuristic_never_beside_expires",
        "9111 §4.2.2",
        MUST_NOT,
        "Where there is an explicit lifetime nothing is guessed: Expires.",
        *not_reused(*OLD, "Expires: {now-1}"),
    ),
    Row(
        "heuristic_never_beside_an_invalid_expires",
        "9111 §4.2.2",
        MUST_NOT,
        "An Expires that is no date is an explicit lifetime, too.",
        *not_reused(*OLD, "Expires: 0"),
    ),
    Row(
        "heuristic_never_beside_max_age",
        "9111 §4.2.2",
        MUST_NOT,
        "Where there is an explicit lifetime nothing is guessed: max-age.",
        *not_reused(*OLD, "Cache-Control: max-age=0"),
    ),
    Row(
        "heuristic_with_query",
        "9111 §4.2.2",
        MAY,
        "A query in the URL makes no difference.",
        fetch(says(*OLD), path="?a=b"),
        hit(path="?a=b"),
    ),
    Row(
        "heuristic_with_content_disposition",
        "9111 §4.2.2",
        MAY,
        "An attachment is guessed like anything else.",
        *reused(*OLD, "Content-Disposition: attachment; filename=a.txt"),
    ),
    Row(
        "heuristic_with_pragma_in_the_response",
        "9111 §5.4",
        MAY,
        "Pragma in a response means nothing here either.",
        *reused(*OLD, "Pragma: no-cache"),
    ),
    Row(
        "heuristic_with_a_cookie",
        "9111 §4.2.2",
        MAY,
        "Nothing is guessed of a response to a request with a Cookie.",
        fetch(says(*OLD), "Cookie: a=1"),
        fetch(says(*OLD), "Cookie: a=1"),
        remark="Not taken: it may be made for that cookie. An explicit lifetime says it isn't.",
    ),
    Row(
        "heuristic_of_a_part",
        "9110 §15.1",
        MAY,
        "The freshness of a 206 may be guessed.",
        fetch(
            says(*OLD, 'ETag: "a"', "Content-Range: bytes 0-3/8", status=206, body="abcd"),
            "Range: bytes=0-3",
        ),
        hit("Range: bytes=0-3", status=206, body="abcd"),
    ),
    Row(
        "heuristic_with_must_revalidate",
        "9111 §4.2.2",
        MAY,
        "Freshness is guessed beside must-revalidate, too.",
        *reused(*OLD, "Cache-Control: must-revalidate"),
    ),
    Row(
        "heuristic_of_an_invalid_last_modified",
        "9111 §4.2.2",
        MUST_NOT,
        "A Last-Modified that is no date is nothing to guess by.",
        *not_reused("Last-Modified: yesterday", "Date: {now}"),
    ),
]
