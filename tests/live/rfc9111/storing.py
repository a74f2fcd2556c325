"""What may be stored (RFC 9111 §3, §3.5, §5.2.2)."""

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

#: Final statuses that a cache may store when the response says how long it is fresh.
STORABLE = (200, 203, 204, 299, 300, 301, 302, 303, 307, 308)
STORABLE += (400, 403, 404, 405, 410, 414, 451, 499, 500, 501, 502, 503, 504, 599)

KEPT = "Cache-Control: max-age=60"
TAG = 'ETag: "a"'
LARGE = "".join(f"{n:9}\n" for n in range(100_000))

ROWS = [
    *(
        Row(
            f"status_{status}_with_max_age",
            "9111 §3",
            MAY,
            f"A {status} with an explicit lifetime is stored.",
            *reused(
                KEPT, *(["Location: /elsewhere"] if 300 <= status < 400 else []), status=status
            ),
        )
        for status in STORABLE
    ),
    *(
        Row(
            f"status_{status}_that_is_stale",
            "9111 §3",
            MUST_NOT,
            f"A {status} that is past its Expires isn't reused.",
            *not_reused(
                "Expires: {now-5000}",
                "Last-Modified: {now-100000}",
                "Date: {now}",
                *(["Location: /elsewhere"] if 300 <= status < 400 else []),
                status=status,
            ),
        )
        for status in STORABLE
    ),
    *(
        Row(
            f"status_{status}_is_of_one_request",
            section,
            MUST_NOT,
            f"A {status} isn't stored.",
            *not_reused(KEPT, status=status),
        )
        for status, section in (
            (428, "6585 §3"),
            (429, "6585 §4"),
            (431, "6585 §5"),
            (511, "6585 §6"),
        )
    ),
    *(
        Row(
            f"status_{status}_is_of_one_request",
            "9111 §3",
            MAY,
            f"A {status} isn't stored, whatever lifetime it has.",
            *not_reused(KEPT, status=status),
            remark="Not taken: it answers the fields of one request rather than its target.",
        )
        for status in (401, 402, 406, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426)
    ),
    Row(
        "status_206_without_range",
        "9111 §3.3",
        MUST_NOT,
        "A 206 that nobody asked for isn't used.",
        *(
            fetch(says(KEPT, TAG, "Content-Range: bytes 0-3/8", status=206, body="abcd"))
            for _ in range(2)
        ),
    ),
    Row(
        "status_206_is_no_whole",
        "9111 §3.3",
        MUST_NOT,
        "What is stored of a 206 doesn't answer a request for the whole.",
        fetch(
            says(KEPT, 'ETag: "a"', "Content-Range: bytes 0-3/8", status=206, body="abcd"),
            "Range: bytes=0-3",
        ),
        fetch(says(KEPT, 'ETag: "b"', body="ABCDEFGH"), body="ABCDEFGH"),
    ),
    Row(
        "status_304_is_never_stored",
        "9111 §3",
        MUST_NOT,
        "A 304 to the client's own condition, with nothing stored, isn't stored as a response.",
        fetch(says(KEPT, 'ETag: "a"', status=304), 'If-None-Match: "a"'),
        fetch(says(KEPT, 'ETag: "a"')),
    ),
    Row(
        "interim_responses_are_not_stored",
        "9111 §3",
        MUST_NOT,
        "Of a 103 and the final response only the final one is stored.",
        fetch(says(KEPT, interim=("103 Early Hints\r\nLink: </a.css>",)), interim=(103,)),
        hit(shows={"link": None}),
    ),
    Row(
        "interim_102_passes_and_the_final_response_is_stored",
        "9110 §15.2",
        MUST,
        "An interim response is passed on; the final one is stored as ever.",
        fetch(says(KEPT, interim=("102 Processing",)), interim=(102,)),
        hit(),
    ),
    Row(
        "interim_fields_are_not_those_of_the_final_response",
        "9110 §15.2",
        MUST_NOT,
        "Fields of a 103 aren't taken for fields of the final response.",
        fetch(
            says(KEPT, interim=("103 Early Hints\r\nX-Early: 1",)),
            interim=(103,),
            shows={"x-early": None},
        ),
        hit(shows={"x-early": None}),
    ),
    Row(
        "without_lifetime_or_validator",
        "9111 §3",
        MAY,
        "A response that says nothing of its freshness isn't reused, however heuristics go.",
        *not_reused(),
        remark="Without Last-Modified there is nothing to guess by.",
    ),
    Row(
        "unknown_method_is_not_stored",
        "9111 §3",
        MUST_NOT,
        "The answer to a method that the cache doesn't understand isn't stored.",
        fetch(says(KEPT), method="BREW"),
        fetch(says(KEPT)),
    ),
    Row(
        "options_is_not_stored",
        "9110 §9.3.7",
        MUST_NOT,
        "Answers to OPTIONS aren't stored.",
        fetch(says(KEPT), method="OPTIONS"),
        fetch(says(KEPT), method="OPTIONS"),
        fetch(says(KEPT)),
    ),
    Row(
        "put_is_not_stored",
        "9110 §9.3.4",
        MUST_NOT,
        "Answers to PUT aren't stored.",
        fetch(says(KEPT), method="PUT", content="x"),
        fetch(says(KEPT)),
    ),
    Row(
        "delete_is_not_stored",
        "9110 §9.3.5",
        MUST_NOT,
        "Answers to DELETE aren't stored.",
        fetch(says(KEPT), method="DELETE"),
        fetch(says(KEPT)),
    ),
    # no-store
    Row(
        "no_store",
        "9111 §5.2.2.5",
        MUST_NOT,
        "A response with no-store isn't stored.",
        *not_reused("Cache-Control: no-store"),
    ),
    Row(
        "no_store_with_lifetime",
        "9111 §5.2.2.5",
        MUST_NOT,
        "no-store holds whatever else is said.",
        *not_reused("Cache-Control: max-age=60, no-store, public", "Expires: {now+60}"),
    ),
    Row(
        "no_store_in_any_case",
        "9111 §5.2",
        MUST,
        "Names of directives are the same in any case.",
        *not_reused("Cache-Control: max-age=60, nO-sToRe"),
    ),
    Row(
        "no_store_on_a_line_of_its_own",
        "9110 §5.3",
        MUST,
        "Cache-Control on several lines is one list.",
        *not_reused("Cache-Control: max-age=60", "Cache-Control: no-store"),
    ),
    Row(
        "no_store_with_an_argument",
        "9111 §4.2.1",
        SHOULD,
        "no-store with an argument, which it can't have, is still no-store.",
        *not_reused("Cache-Control: max-age=60, no-store=no"),
    ),
    Row(
        "no_store_with_validator",
        "9111 §5.2.2.5",
        MUST_NOT,
        "Not even to be confirmed later: the next request has no condition.",
        fetch(says("Cache-Control: no-store", 'ETag: "a"')),
        fetch(says("Cache-Control: no-store", 'ETag: "a"'), got={"if-none-match": None}),
    ),
    # must-understand
    Row(
        "must_understand_takes_the_force_from_no_store",
        "9111 §5.2.2.3",
        SHOULD,
        "With must-understand a cache that knows the status ignores no-store.",
        *reused("Cache-Control: max-age=60, must-understand, no-store"),
    ),
    *(
        Row(
            f"must_understand_status_{status}",
            "9111 §5.2.2.3",
            MUST_NOT,
            f"With must-understand a {status}, which we don't know, isn't stored.",
            *not_reused("Cache-Control: max-age=60, must-understand", status=status),
        )
        for status in (299, 499, 599)
    ),
    Row(
        "must_understand_and_no_store_of_an_unknown_status",
        "9111 §5.2.2.3",
        MUST_NOT,
        "With must-understand and no-store an unknown status isn't stored.",
        *not_reused("Cache-Control: max-age=60, must-understand, no-store", status=599),
    ),
    # private
    Row(
        "private",
        "9111 §5.2.2.7",
        MUST_NOT,
        "A shared cache doesn't store a response with private.",
        *not_reused("Cache-Control: private, max-age=60"),
    ),
    Row(
        "private_beats_public",
        "9111 §4.2.1",
        SHOULD,
        "Where private and public contradict each other, the stricter counts.",
        *not_reused("Cache-Control: public, private, max-age=60"),
    ),
    Row(
        "private_beats_s_maxage",
        "9111 §4.2.1",
        SHOULD,
        "Where private and s-maxage contradict each other, the stricter counts.",
        *not_reused("Cache-Control: private, s-maxage=60"),
    ),
    Row(
        "private_fields_are_not_stored",
        "9111 §5.2.2.7",
        MUST_NOT,
        "Fields that private names aren't stored; the rest is.",
        fetch(
            says(
                'Cache-Control: max-age=60, private="X-Mine, X-Own"',
                "X-Mine: 1",
                "X-Own: 1",
                "X-A: 1",
            ),
            shows={"x-mine": "1"},
        ),
        hit(shows={"x-mine": None, "x-own": None, "x-a": "1"}),
    ),
    Row(
        "private_field_unquoted",
        "9111 §5.2.2.7",
        SHOULD,
        "private= with a token rather than a quoted string still names a field.",
        fetch(says("Cache-Control: max-age=60, private=X-Mine", "X-Mine: 1", "X-A: 1")),
        hit(shows={"x-mine": None, "x-a": "1"}),
    ),
    Row(
        "private_fields_in_any_case",
        "9111 §5.2.2.7",
        MUST,
        "Names of fields are the same in any case.",
        fetch(says('Cache-Control: max-age=60, PRIVATE="x-MINE"', "X-Mine: 1")),
        hit(shows={"x-mine": None}),
    ),
    Row(
        "private_with_an_empty_list",
        "9111 §5.2.2.7",
        MAY,
        "private with an empty list is read as private.",
        *not_reused('Cache-Control: max-age=60, private=""'),
    ),
    Row(
        "private_of_what_describes_the_body",
        "9111 §5.2.2.7",
        MAY,
        "private of a field without which the body can't be read is read as private.",
        *not_reused(
            'Cache-Control: max-age=60, private="Content-Encoding"', "Content-Encoding: x-none"
        ),
    ),
    # no-cache
    Row(
        "no_cache_is_not_reused_unasked",
        "9111 §5.2.2.4",
        MUST_NOT,
        "A response with no-cache isn't reused without asking.",
        *not_reused("Cache-Control: max-age=60, no-cache", "Expires: {now+60}"),
    ),
    Row(
        "no_cache_is_stored_and_confirmed",
        "9111 §5.2.2.4",
        MAY,
        "A response with no-cache and a validator is stored, and confirmed for each use.",
        fetch(says("Cache-Control: no-cache", 'ETag: "a"')),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
    ),
    Row(
        "no_cache_with_lifetime_is_confirmed",
        "9111 §5.2.2.4",
        MUST,
        "no-cache wants a confirmation in spite of max-age and Expires.",
        fetch(says("Cache-Control: max-age=60, No-CaChE", "Expires: {now+60}", 'ETag: "a"')),
        confirm(says('ETag: "a"', status=304), got={"if-none-match": '"a"'}),
    ),
    Row(
        "no_cache_fields_are_not_reused",
        "9111 §5.2.2.4",
        MUST_NOT,
        "Fields that no-cache names aren't sent again unasked; the rest may be reused.",
        fetch(
            says(
                'Cache-Control: max-age=60, no-cache="X-Once, X-Too"',
                "X-Once: 1",
                "X-Too: 1",
                "X-A: 1",
            ),
            shows={"x-once": "1"},
        ),
        hit(shows={"x-once": None, "x-too": None, "x-a": "1"}),
    ),
    Row(
        "no_cache_field_unquoted",
        "9111 §5.2.2.4",
        SHOULD,
        "no-cache= with a token rather than a quoted string still names a field.",
        fetch(says("Cache-Control: max-age=60, no-cache=X-Once", "X-Once: 1", "X-A: 1")),
        hit(shows={"x-once": None, "x-a": "1"}),
    ),
    Row(
        "no_cache_and_no_cache_of_a_field",
        "9111 §4.2.1",
        SHOULD,
        "Of no-cache with and without fields the stricter counts.",
        *not_reused('Cache-Control: max-age=60, no-cache="X-Once", no-cache', "X-Once: 1"),
    ),
    # authorization
    Row(
        "authorization",
        "9111 §3.5",
        MUST_NOT,
        "The response to a request with Authorization isn't used for others.",
        fetch(says(KEPT), "Authorization: Basic YTpi", got={"authorization": "Basic YTpi"}),
        fetch(says(KEPT)),
    ),
    Row(
        "authorization_with_expires",
        "9111 §3.5",
        MUST_NOT,
        "Expires doesn't say that others may have it.",
        fetch(says("Expires: {now+60}", "Date: {now}"), "Authorization: Basic YTpi"),
        fetch(says("Expires: {now+60}", "Date: {now}")),
    ),
    Row(
        "authorization_again",
        "9111 §3.5",
        MUST_NOT,
        "Nor is it used for the same credentials.",
        fetch(says(KEPT), "Authorization: Basic YTpi"),
        fetch(says(KEPT), "Authorization: Basic YTpi"),
    ),
    Row(
        "authorization_with_public",
        "9111 §5.2.2.9",
        MAY,
        "public allows it.",
        fetch(says("Cache-Control: public, max-age=60"), "Authorization: Basic YTpi"),
        hit(),
    ),
    Row(
        "authorization_with_s_maxage",
        "9111 §5.2.2.10",
        MAY,
        "s-maxage allows it.",
        fetch(says("Cache-Control: s-maxage=60"), "Authorization: Basic YTpi"),
        hit(),
    ),
    Row(
        "authorization_with_must_revalidate",
        "9111 §5.2.2.2",
        MAY,
        "must-revalidate allows it.",
        fetch(says("Cache-Control: max-age=60, must-revalidate"), "Authorization: Basic YTpi"),
        hit(),
    ),
    Row(
        "authorization_with_proxy_revalidate",
        "9111 §3.5",
        MUST_NOT,
        "proxy-revalidate doesn't.",
        fetch(says("Cache-Control: max-age=60, proxy-revalidate"), "Authorization: Basic YTpi"),
        fetch(says("Cache-Control: max-age=60, proxy-revalidate")),
    ),
    Row(
        "authorization_gets_what_everybody_gets",
        "9111 §3.5",
        MAY,
        "A request with Authorization is answered by what was stored for everybody.",
        fetch(says(KEPT)),
        hit("Authorization: Basic YTpi"),
    ),
    Row(
        "authorization_and_private_of_nothing_else",
        "9111 §3.5",
        MUST_NOT,
        "Neither public in quotes nor a longer name is public.",
        fetch(says('Cache-Control: max-age=60, x="public", publicly'), "Authorization: Basic YTpi"),
        fetch(says(KEPT)),
    ),
    # cookies
    Row(
        "cookie_of_the_request",
        "9111 §3",
        MAY,
        "A Cookie in the request doesn't matter where the response isn't made for it.",
        fetch(says(KEPT), "Cookie: a=1"),
        hit("Cookie: a=2"),
        hit(),
    ),
    Row(
        "set_cookie_is_not_stored",
        "9111 §7.3",
        MAY,
        "A response with Set-Cookie is stored only where it is said to be for everybody.",
        *not_reused(KEPT, "Set-Cookie: a=1"),
        remark="Not taken without public or s-maxage: one person's session would reach another.",
    ),
    Row(
        "set_cookie_with_public",
        "9111 §7.3",
        MAY,
        "With public it is stored, and sent again.",
        fetch(says("Cache-Control: public, max-age=60", "Set-Cookie: a=1")),
        hit(shows={"set-cookie": "a=1"}),
    ),
    Row(
        "set_cookie_with_s_maxage",
        "9111 §7.3",
        MAY,
        "With s-maxage it is stored, and sent again.",
        fetch(says("Cache-Control: s-maxage=60", "Set-Cookie: a=1")),
        hit(shows={"set-cookie": "a=1"}),
    ),
    Row(
        "set_cookie_that_is_withheld",
        "9111 §5.2.2.4",
        MAY,
        'With no-cache="Set-Cookie" the response is stored without the cookie.',
        fetch(says('Cache-Control: max-age=60, no-cache="Set-Cookie"', "Set-Cookie: a=1")),
        hit(shows={"set-cookie": None}),
    ),
    # incomplete
    Row(
        "a_broken_off_body_is_no_whole",
        "9111 §3.3",
        MUST_NOT,
        "What ended before its Content-Length doesn't answer as if it were complete.",
        fetch(says(KEPT, body="0123456789", cut=True), status=0),
        fetch(says(KEPT)),
    ),
    Row(
        "a_broken_off_chunked_body_is_no_whole",
        "9112 §8",
        MUST_NOT,
        "What ended before its last chunk doesn't answer as if it were complete.",
        fetch(says(KEPT, body="0123456789", cut=True, chunked=True), status=0),
        fetch(says(KEPT)),
    ),
    Row(
        "a_chunked_body_is_stored",
        "9111 §3",
        MAY,
        "A complete body in chunks is stored like any other.",
        fetch(says(KEPT, chunked=True)),
        hit(),
    ),
    Row(
        "bytes_beyond_the_content_length",
        "9112 §6.3",
        MUST_NOT,
        "Bytes that follow the Content-Length aren't part of the body, nor of the next response.",
        fetch(says(KEPT, "Content-Length: 5", body="0123456789"), body="01234"),
        hit(body="01234", shows={"content-length": "5"}),
        fetch(says(), path="/next"),
    ),
    Row(
        "a_large_body_is_stored",
        "9111 §3",
        MAY,
        "A body of a megabyte is stored like any other.",
        *reused(KEPT, body=LARGE),
    ),
    Row(
        "a_large_body_in_chunks_is_stored",
        "9111 §3",
        MAY,
        "So is one in chunks.",
        fetch(says(KEPT, body=LARGE, chunked=True)),
        hit(body=LARGE),
    ),
    Row(
        "an_empty_body_is_stored",
        "9111 §3",
        MAY,
        "An empty body is stored like any other.",
        *reused(KEPT, body=""),
    ),
    Row(
        "trailers_are_not_fields",
        "9111 §3.1",
        MUST_NOT,
        "Trailers aren't combined with the stored fields.",
        fetch(says(KEPT, chunked=True, trailers=("X-Sum: 1",))),
        hit(shows={"x-sum": None}),
    ),
    # what isn't Cache-Control
    Row(
        "content_disposition",
        "9111 §3",
        MAY,
        "An attachment is stored like any other response.",
        *reused(KEPT, "Content-Disposition: attachment; filename=a.txt"),
    ),
    Row(
        "pragma_in_a_response",
        "9111 §5.4",
        MAY,
        "Pragma in a response means nothing.",
        *reused(KEPT, "Pragma: no-cache"),
    ),
    Row(
        "pragma_of_another_name_in_a_response",
        "9111 §5.4",
        MAY,
        "Pragma in a response means nothing, whatever it says.",
        *reused(KEPT, "Pragma: extension"),
    ),
    Row(
        "unknown_directives_are_ignored",
        "9111 §5.2.3",
        MUST,
        "Directives that a cache doesn't know are ignored.",
        *reused('Cache-Control: foo, max-age=60, bar=1, baz="a, b"'),
    ),
    Row(
        "unknown_directive_with_the_name_of_a_known_one_in_it",
        "9111 §5.2.3",
        MUST,
        "A longer name isn't the shorter one.",
        *reused("Cache-Control: max-age=60, no-store-ever, x-private"),
    ),
    Row(
        "directives_in_a_quoted_string",
        "9111 §5.2",
        MUST,
        "What stands in a quoted string isn't a directive.",
        *reused('Cache-Control: max-age=60, x="a, no-store, private"'),
    ),
    Row(
        "directives_after_an_escaped_quote",
        "9110 §5.6.4",
        MUST,
        "An escaped quote doesn't end the quoted string.",
        *reused('Cache-Control: max-age=60, x="a\\", no-store"'),
    ),
    Row(
        "directives_after_a_quote_that_never_ends",
        "9111 §4.2.1",
        SHOULD,
        "A quote that is never closed hides nothing: no-store counts.",
        *not_reused('Cache-Control: max-age=60, x="a, no-store'),
    ),
    Row(
        "empty_members",
        "9110 §5.6.1",
        MUST,
        "Empty members of the list are skipped.",
        *reused("Cache-Control: ,, max-age=60 ,,"),
    ),
    Row(
        "no_transform",
        "9111 §5.2.2.6",
        MUST_NOT,
        "With no-transform the body stays as it is (it always does).",
        fetch(says("Cache-Control: max-age=60, no-transform", body="as it is")),
        hit(body="as it is", shows={"cache-control": "max-age=60, no-transform"}),
    ),
]
