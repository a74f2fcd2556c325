"""Serving stale: when it is forbidden and when it helps (RFC 9111 §4.2.4, RFC 5861)."""

from __future__ import annotations

from rfc9111.table import (
    CLOSES,
    IS_DOWN,
    MAY,
    MUST,
    MUST_NOT,
    SHOULD,
    SHOULD_NOT,
    About,
    Like,
    Row,
    Step,
    confirm,
    fetch,
    hit,
    says,
    stale,
)

OLD = "Cache-Control: max-age=60"
AGE = "Age: 100"
TAG = 'ETag: "a"'
KEPT = "Cache-Control: max-age=3600"

#: Directives against which nothing stale is served, whatever happens.
STRICT = {
    "must_revalidate": "max-age=60, must-revalidate",
    "proxy_revalidate": "max-age=60, proxy-revalidate",
    "s_maxage": "max-age=60, s-maxage=60",
    "no_cache": "max-age=60, no-cache",
}


def while_revalidating(seconds: int) -> str:
    return f"Cache-Control: max-age=60, stale-while-revalidate={seconds}"


def if_error(seconds: int) -> str:
    return f"Cache-Control: max-age=60, stale-if-error={seconds}"


def instead(*lines: str, status: int = 503, client: int = 200, **more: object) -> Step:
    """The origin fails so, and the client gets what step 1 brought."""
    answer = says(status=status) if status else CLOSES
    return Step(answer=answer, lines=lines, of=1, status=client, **more)  # type: ignore[arg-type]


ROWS = [
    # RFC 9111
    *(
        Row(
            f"not_stale_against_{name}_when_closed",
            "9111 §4.2.4",
            MUST_NOT,
            f"With {directive} nothing stale is served where the origin doesn't answer.",
            fetch(says(f"Cache-Control: {directive}", AGE, TAG)),
            fetch(CLOSES),
        )
        for name, directive in STRICT.items()
    ),
    *(
        Row(
            f"not_stale_against_{name}_when_down",
            "9111 §5.2.2.2",
            MUST,
            f"With {directive} a cache that can't reach the origin answers with an error.",
            fetch(says(f"Cache-Control: {directive}", AGE, TAG)),
            fetch(IS_DOWN),
        )
        for name, directive in STRICT.items()
    ),
    *(
        Row(
            f"error_against_{name}_when_{how}_is_504",
            "9111 §5.2.2.2",
            SHOULD,
            f"With {directive} the error in the place of something stale is 504.",
            fetch(says(f"Cache-Control: {directive}", AGE, TAG)),
            fetch(answer, status=504),
        )
        for name, directive in STRICT.items()
        for how, answer in (("closed", CLOSES), ("down", IS_DOWN))
    ),
    *(
        Row(
            f"not_stale_against_{name}_with_stale_if_error",
            "9111 §4.2.4",
            MUST_NOT,
            f"With {directive} stale-if-error allows nothing.",
            fetch(says(f"Cache-Control: {directive}, stale-if-error=3600", AGE, TAG)),
            fetch(says(status=503)),
        )
        for name, directive in STRICT.items()
    ),
    *(
        Row(
            f"not_stale_against_{name}_with_stale_while_revalidate",
            "9111 §4.2.4",
            MUST_NOT,
            f"With {directive} stale-while-revalidate allows nothing.",
            fetch(says(f"Cache-Control: {directive}, stale-while-revalidate=3600", AGE, TAG)),
            confirm(says(KEPT, TAG, status=304), got={"if-none-match": '"a"'}),
        )
        for name, directive in STRICT.items()
    ),
    Row(
        "stale_is_not_served_unasked",
        "9111 §4.2.4",
        MUST_NOT,
        "Nothing stale is served where the origin can be asked.",
        fetch(says(OLD, AGE, TAG)),
        fetch(says(KEPT), got={"if-none-match": '"a"'}),
    ),
    Row(
        "stale_when_down",
        "9111 §4.2.4",
        MAY,
        "A cache that can't reach the origin serves what is stale, for as long as `grace` says.",
        fetch(says(OLD, AGE, TAG)),
        fetch(
            IS_DOWN, of=1, status=200, shows={"age": About(100), "cache-status": Like("twistproxy")}
        ),
    ),
    Row(
        "stale_when_closed",
        "9111 §4.2.4",
        MAY,
        "A connection that is closed without an answer is no answer either.",
        fetch(says(OLD, AGE, TAG)),
        instead(status=0, shows={"cache-status": Like("twistproxy")}),
    ),
    Row(
        "stale_when_down_for_longer_than_grace",
        "9111 §4.2.4",
        SHOULD_NOT,
        "What is stale for longer than `grace` (an hour) isn't served.",
        fetch(says(OLD, "Age: 10000", TAG)),
        fetch(IS_DOWN, status=502),
    ),
    Row(
        "stale_head_when_down",
        "9111 §4.2.4",
        MAY,
        "HEAD is answered by what is stale, too.",
        fetch(says(OLD, AGE, TAG)),
        fetch(IS_DOWN, method="HEAD", of=1, status=200, shows={"cache-status": Like("twistproxy")}),
    ),
    Row(
        "stale_part_when_down",
        "9111 §4.2.4",
        MAY,
        "So is a Range.",
        fetch(says(OLD, AGE, TAG, body="0123456789")),
        fetch(IS_DOWN, "Range: bytes=0-1", of=1, status=206, body="01"),
    ),
    Row(
        "stale_against_no_cache_of_the_client",
        "9111 §5.2.1.4",
        MAY,
        "A client with no-cache gets the error.",
        fetch(says(OLD, AGE, TAG)),
        fetch(IS_DOWN, "Cache-Control: no-cache"),
    ),
    Row(
        "stale_after_a_while",
        "9111 §4.2.4",
        MAY,
        "What becomes stale in the cache is served when the origin is down, too.",
        fetch(says("Cache-Control: max-age=1")),
        fetch(IS_DOWN, of=1, status=200, after=2.1),
    ),
    Row(
        "not_stale_what_was_never_stored",
        "9111 §4.2.4",
        MUST_NOT,
        "What was no-store isn't there when the origin is down.",
        fetch(says("Cache-Control: no-store")),
        fetch(IS_DOWN),
    ),
    Row(
        "not_stale_for_another_variant",
        "9111 §4.1",
        MUST_NOT,
        "Another variant isn't served when the origin is down.",
        fetch(says(OLD, AGE, TAG, "Vary: Foo"), "Foo: 1"),
        fetch(IS_DOWN, "Foo: 2"),
    ),
    Row(
        "not_stale_for_post",
        "9110 §9.3.3",
        MUST_NOT,
        "POST isn't answered by it.",
        fetch(says(OLD, AGE, TAG)),
        fetch(IS_DOWN, method="POST", content="a"),
    ),
    Row(
        "not_stale_what_was_invalidated",
        "9111 §4.4",
        MUST_NOT,
        "What an unsafe request outdated isn't served when the origin is down.",
        fetch(says(OLD, AGE, TAG)),
        fetch(says(), method="PUT", content="a"),
        fetch(IS_DOWN),
    ),
    Row(
        "stale_has_no_warning",
        "9111 §5.5",
        MAY,
        "Warning is obsolete, and not sent; Age and Cache-Status tell.",
        fetch(says(if_error(3600), AGE, TAG)),
        instead(shows={"warning": None, "age": About(100)}),
    ),
    Row(
        "a_warning_of_others_is_stored",
        "9111 §5.5",
        MAY,
        "A Warning that came is a field like others.",
        fetch(says(KEPT, 'Warning: 199 a "b"')),
        hit(shows={"warning": '199 a "b"'}),
    ),
    # stale-while-revalidate
    Row(
        "stale_while_revalidate",
        "5861 §3",
        MAY,
        "Within stale-while-revalidate what is stale is served at once, and confirmed meanwhile.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(KEPT, TAG, status=304), got={"if-none-match": '"a"'}, shows={"age": About(100)}),
        hit(shows={"age": About(0)}),
    ),
    Row(
        "stale_while_revalidate_fetches_anew",
        "5861 §3",
        SHOULD,
        "What has changed is fetched meanwhile, for who asks next.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(KEPT, 'ETag: "b"')),
        hit(of=2),
    ),
    Row(
        "stale_while_revalidate_without_validator",
        "5861 §3",
        MAY,
        "What has no validator is fetched whole meanwhile.",
        fetch(says("Cache-Control: max-age=1, stale-while-revalidate=3600")),
        stale(says(KEPT), got={"if-none-match": None}, after=2.1),
        hit(of=2),
    ),
    Row(
        "stale_while_revalidate_is_over",
        "5861 §3",
        SHOULD_NOT,
        "Past stale-while-revalidate nothing stale is served.",
        fetch(says(while_revalidating(30), AGE, TAG)),
        confirm(says(KEPT, TAG, status=304), got={"if-none-match": '"a"'}),
    ),
    Row(
        "stale_while_revalidate_is_over_in_time",
        "5861 §3",
        SHOULD_NOT,
        "Past stale-while-revalidate nothing stale is served: after some seconds.",
        fetch(says("Cache-Control: max-age=1, stale-while-revalidate=1", TAG)),
        confirm(says(KEPT, TAG, status=304), got={"if-none-match": '"a"'}, after=3.1),
    ),
    Row(
        "stale_while_revalidate_asks_once",
        "5861 §3",
        SHOULD,
        "Several clients within that time are one question to the origin.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(KEPT, TAG, status=304, delay=0.3), together=4),
        hit(),
    ),
    Row(
        "stale_while_revalidate_while_fresh",
        "5861 §3",
        MUST_NOT,
        "While it is fresh nobody is asked.",
        fetch(says("Cache-Control: max-age=3600, stale-while-revalidate=3600", TAG)),
        hit(),
        hit(),
    ),
    Row(
        "stale_while_revalidate_and_a_reload",
        "9111 §5.2.1.4",
        MAY,
        "A client with no-cache waits for the answer.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        confirm(says(KEPT, TAG, status=304), "Cache-Control: no-cache"),
    ),
    Row(
        "stale_while_revalidate_invalid",
        "9111 §4.2.1",
        SHOULD,
        "stale-while-revalidate that is no number is 0.",
        fetch(says("Cache-Control: max-age=60, stale-while-revalidate=x", AGE, TAG)),
        confirm(says(KEPT, TAG, status=304)),
    ),
    Row(
        "stale_while_revalidate_of_a_part",
        "5861 §3",
        MAY,
        "A Range of what is stale is served at once; what is asked for meanwhile is the whole.",
        fetch(says(while_revalidating(3600), AGE, TAG, body="0123456789")),
        stale(
            says(KEPT, 'ETag: "b"', body="ABCDEFGHIJ"),
            "Range: bytes=0-1",
            status=206,
            body="01",
            got={"range": None},
        ),
        hit(of=2, status=200, body="ABCDEFGHIJ"),
    ),
    Row(
        "stale_while_revalidate_of_head",
        "5861 §3",
        MAY,
        "HEAD of what is stale is served at once; what is asked for meanwhile is the whole.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(KEPT, 'ETag: "b"'), method="HEAD", asked_with="GET"),
        hit(of=2),
    ),
    Row(
        "stale_while_revalidate_for_a_client_that_has_it",
        "9111 §4.3.2",
        SHOULD,
        "A client that has what is stale gets 304 at once.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(KEPT, 'ETag: "b"'), 'If-None-Match: "a"', status=304),
        hit(of=2),
    ),
    Row(
        "stale_while_revalidate_for_a_client_that_has_another",
        "9111 §4.3.2",
        MUST_NOT,
        "A client's condition isn't what is asked meanwhile.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(KEPT, TAG, status=304), 'If-None-Match: "c"', got={"if-none-match": '"a"'}),
        hit(),
    ),
    Row(
        "stale_while_revalidate_and_max_age_of_the_client",
        "9111 §5.2.1.1",
        MAY,
        "A client that wants it younger waits for the answer.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        confirm(says(KEPT, TAG, status=304), "Cache-Control: max-age=10"),
    ),
    Row(
        "stale_while_revalidate_and_min_fresh_of_the_client",
        "9111 §5.2.1.3",
        MAY,
        "A client that wants it fresh waits for the answer.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        confirm(says(KEPT, TAG, status=304), "Cache-Control: min-fresh=10"),
    ),
    Row(
        "stale_while_revalidate_of_a_variant",
        "9111 §4.1",
        MUST,
        "What is asked meanwhile has the fields that Vary names.",
        fetch(says(while_revalidating(3600), AGE, TAG, "Vary: Foo"), "Foo: 1"),
        stale(says(KEPT, TAG, status=304), "Foo: 1", got={"foo": "1"}),
        hit("Foo: 1"),
    ),
    Row(
        "stale_while_revalidate_of_what_may_not_be_stored",
        "9111 §4.3.3",
        MAY,
        "A newer answer that may not be stored ends the use of the older one.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says("Cache-Control: no-store")),
        fetch(says(KEPT)),
    ),
    Row(
        "stale_while_revalidate_fails",
        "5861 §3",
        MAY,
        "Where the question meanwhile fails, what is stale stays, for as long as allowed.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(status=503)),
        stale(says(KEPT, TAG, status=304)),
        hit(),
    ),
    Row(
        "stale_while_revalidate_of_what_is_gone",
        "9111 §4.3.3",
        MUST,
        "A 404 meanwhile is the answer for who asks next.",
        fetch(says(while_revalidating(3600), AGE, TAG)),
        stale(says(KEPT, status=404)),
        hit(of=2, status=404),
    ),
    # stale-if-error
    *(
        Row(
            f"stale_if_error_{status}",
            "5861 §4",
            MAY,
            f"Within stale-if-error a {status} is answered by what is stale.",
            fetch(says(if_error(3600), AGE, TAG)),
            instead(status=status, shows={"age": About(100)}),
        )
        for status in (500, 502, 503, 504)
    ),
    Row(
        "stale_if_error_closed",
        "5861 §4",
        MAY,
        "An origin that doesn't answer is an error.",
        fetch(says(if_error(3600), AGE, TAG)),
        instead(status=0),
    ),
    Row(
        "stale_if_error_down",
        "5861 §4",
        MAY,
        "An origin that can't be reached is an error.",
        fetch(says(if_error(36000), "Age: 10000", TAG)),
        fetch(IS_DOWN, of=1, status=200),
    ),
    Row(
        "stale_if_error_without_validator",
        "5861 §4",
        MAY,
        "What has no validator is served, too.",
        fetch(says("Cache-Control: max-age=1, stale-if-error=3600")),
        instead(after=2.1),
    ),
    Row(
        "stale_if_error_is_over",
        "5861 §4",
        SHOULD_NOT,
        "Past stale-if-error the error is the answer.",
        fetch(says(if_error(30), AGE, TAG)),
        fetch(says(status=503), got={"if-none-match": '"a"'}),
    ),
    Row(
        "stale_if_error_of_a_part",
        "5861 §4",
        MAY,
        "A Range is answered by what is stale, too.",
        fetch(says(if_error(3600), AGE, TAG, body="0123456789")),
        instead("Range: bytes=0-1", client=206, body="01"),
    ),
    Row(
        "stale_if_error_and_no_cache_of_the_client",
        "9111 §5.2.1.4",
        MAY,
        "A client with no-cache gets the error.",
        fetch(says(if_error(3600), AGE, TAG)),
        fetch(says(status=503), "Cache-Control: no-cache"),
    ),
    Row(
        "stale_if_error_is_no_end",
        "5861 §4",
        MAY,
        "What was served so is stored as before, and confirmed when the origin is well again.",
        fetch(says(if_error(3600), AGE, TAG)),
        instead(),
        confirm(says(KEPT, TAG, status=304), got={"if-none-match": '"a"'}),
        hit(),
    ),
    Row(
        "stale_if_error_of_a_404",
        "5861 §4",
        MUST_NOT,
        "A 404 is no error of the origin: it is the answer.",
        fetch(says(if_error(3600), AGE, TAG)),
        fetch(says(status=404)),
    ),
    Row(
        "stale_if_error_of_a_success",
        "5861 §4",
        MUST_NOT,
        "Where the origin answers, that is the answer.",
        fetch(says(if_error(3600), AGE, TAG)),
        fetch(says(KEPT, 'ETag: "b"'), got={"if-none-match": '"a"'}),
    ),
    Row(
        "stale_if_error_of_the_request",
        "5861 §4",
        MAY,
        "A client may ask for it, too.",
        fetch(says(OLD, AGE, TAG)),
        instead("Cache-Control: stale-if-error=3600"),
    ),
    Row(
        "stale_if_error_of_the_request_is_over",
        "5861 §4",
        SHOULD_NOT,
        "Past what the client takes the error is the answer.",
        fetch(says(OLD, AGE, TAG)),
        fetch(says(status=503), "Cache-Control: stale-if-error=10"),
    ),
    Row(
        "stale_if_error_and_a_client_that_has_it",
        "9111 §4.3.2",
        SHOULD,
        "A client that has what is stale gets 304.",
        fetch(says(if_error(3600), AGE, TAG)),
        Step(answer=says(status=503), lines=('If-None-Match: "a"',), of=1, status=304),
    ),
]
