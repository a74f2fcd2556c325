"""What a 304 and a HEAD change of what is stored (RFC 9111 §3.2, §4.3.4, §4.3.5)."""

from __future__ import annotations

from rfc9111.table import MAY, MUST, MUST_NOT, SHOULD, About, Row, confirm, fetch, hit, says

OLD = "Cache-Control: max-age=60"
AGE = "Age: 100"
TAG = 'ETag: "a"'
KEPT = "Cache-Control: max-age=3600"

#: A field, what was stored, what the 304 says.
UPDATED = {
    "Test-Header": ("a", "b"),
    "X-Test-Header": ("a", "b"),
    "Content-Foo": ("a", "b"),
    "X-Content-Foo": ("a", "b"),
    "Content-Language": ("sv", "fi"),
    "Content-Location": ("/foo", "/bar"),
    "Content-MD5": ("rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g=="),
    "Content-Security-Policy": ("default-src 'self'", "default-src 'self' cdn.example"),
    "Content-Type": ("text/plain", "text/plain;charset=utf-8"),
    "Clear-Site-Data": ('"cache"', '"cookies"'),
    "Expires": ("Fri, 01 Jan 2038 01:01:01 GMT", "Mon, 11 Jan 2038 11:11:11 GMT"),
    "Public-Key-Pins": ("a", "b"),
    "Set-Cookie2": ("a=b", "a=c"),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": ("1", "1; mode=block"),
}

#: Fields that describe the bytes we hold; an origin's 304 often has them of other bytes.
OF_THE_BYTES = {
    "Content-Encoding": ("x-one", "x-two"),
    "Content-Range": ("one", "two"),
}

ROWS = [
    Row(
        "a_304_leaves_what_it_omits",
        "9111 §3.2",
        MUST,
        "Fields that a 304 doesn't have stay.",
        fetch(says(OLD, AGE, "Last-Modified: {now-3000}", "X-A: 1")),
        confirm(says(KEPT, "Last-Modified: {now-3000}", status=304), shows={"x-a": "1"}),
        hit(shows={"x-a": "1"}),
    ),
    *(
        Row(
            f"a_304_updates_{name.lower().replace('-', '_')}",
            "9111 §3.2",
            MUST,
            f"{name} of a 304 takes the place of the stored one, now and later.",
            fetch(says(OLD, AGE, TAG, f"{name}: {before}")),
            confirm(says(KEPT, TAG, f"{name}: {after}", status=304), shows={name: after}),
            hit(shows={name: after}),
        )
        for name, (before, after) in UPDATED.items()
    ),
    Row(
        "a_304_updates_cache_control",
        "9111 §3.2",
        MUST,
        "Cache-Control of a 304 counts from then on.",
        fetch(says(OLD, AGE, TAG)),
        confirm(says(KEPT, TAG, status=304), shows={"cache-control": "max-age=3600"}),
        hit(shows={"cache-control": "max-age=3600"}),
    ),
    Row(
        "a_304_updates_last_modified",
        "9111 §3.2",
        MUST,
        "Last-Modified beside the ETag that confirms is updated.",
        fetch(says(OLD, AGE, TAG, "Last-Modified: {now-3000}")),
        confirm(
            says(KEPT, TAG, "Last-Modified: {now-2000}", status=304),
            shows={"last-modified": "{now-2000}"},
        ),
        hit(shows={"last-modified": "{now-2000}"}),
    ),
    Row(
        "a_304_updates_date",
        "9111 §3.2",
        MUST,
        "Date of a 304 takes the place of the stored one.",
        fetch(says(OLD, "Date: {now-100}", TAG)),
        confirm(says(KEPT, TAG, "Date: {now}", status=304), shows={"date": "{now}"}),
        hit(shows={"date": "{now}", "age": About(0)}),
    ),
    Row(
        "a_304_updates_all_lines",
        "9111 §3.2",
        MUST,
        "All lines of a field are replaced.",
        fetch(says(OLD, AGE, TAG, "X-A: 1", "X-A: 2")),
        confirm(says(KEPT, TAG, "X-A: 3", status=304), shows={"x-a": "3"}),
        hit(shows={"x-a": "3"}),
    ),
    Row(
        "a_304_adds",
        "9111 §3.2",
        MUST,
        "A field that is only in the 304 is added.",
        fetch(says(OLD, AGE, TAG)),
        confirm(says(KEPT, TAG, "X-A: 3", status=304), shows={"x-a": "3"}),
        hit(shows={"x-a": "3"}),
    ),
    Row(
        "a_304_does_not_update_content_length",
        "9111 §3.2",
        MUST_NOT,
        "Content-Length of a 304 changes nothing.",
        fetch(says(OLD, AGE, TAG, body="12345")),
        confirm(says(KEPT, TAG, "Content-Length: 10", status=304), shows={"content-length": "5"}),
        hit(shows={"content-length": "5"}),
    ),
    *(
        Row(
            f"a_304_does_not_update_{name.lower().replace('-', '_')}",
            "9111 §3.2",
            MAY,
            f"{name} stays that of the bytes that are stored.",
            fetch(says(OLD, AGE, TAG, f"{name}: {before}")),
            confirm(says(KEPT, TAG, f"{name}: {after}", status=304), shows={name: before}),
            hit(shows={name: before}),
        )
        for name, (before, after) in OF_THE_BYTES.items()
    ),
    Row(
        "a_304_does_not_store_fields_of_one_hop",
        "9111 §3.2",
        MUST_NOT,
        "Fields that aren't stored aren't stored from a 304 either.",
        fetch(says(OLD, AGE, TAG)),
        confirm(says(KEPT, TAG, "Connection: X-A", "X-A: 1", "Keep-Alive: a", status=304)),
        hit(shows={"x-a": None, "keep-alive": None}),
    ),
    Row(
        "a_304_that_withholds",
        "9111 §5.2.2.7",
        MUST_NOT,
        "Fields that the 304's private names aren't stored from it.",
        fetch(says(OLD, AGE, TAG)),
        confirm(says('Cache-Control: max-age=3600, private="X-A"', TAG, "X-A: 1", status=304)),
        hit(shows={"x-a": None}),
    ),
    Row(
        "a_304_with_no_store",
        "9111 §5.2.2.5",
        MUST_NOT,
        "After a 304 with no-store it is stored no longer.",
        fetch(says(OLD, AGE, TAG)),
        confirm(says("Cache-Control: no-store", TAG, status=304)),
        fetch(says(KEPT), got={"if-none-match": None}),
    ),
    Row(
        "a_304_with_private",
        "9111 §5.2.2.7",
        MUST_NOT,
        "After a 304 with private it is stored no longer.",
        fetch(says(OLD, AGE, TAG)),
        confirm(says("Cache-Control: private, max-age=60", TAG, status=304)),
        fetch(says(KEPT), got={"if-none-match": None}),
    ),
    Row(
        "a_304_keeps_the_weakness_of_the_tag",
        "9111 §4.3.4",
        MAY,
        "A weak tag confirmed by its strong spelling stays as it was stored.",
        fetch(says(OLD, AGE, 'ETag: W/"a"')),
        confirm(says(KEPT, 'ETag: "a"', status=304), shows={"etag": 'W/"a"'}),
        remark="nginx drops the W/ in a 304 of what it compresses.",
    ),
    Row(
        "a_304_by_date_updates",
        "9111 §3.2",
        MUST,
        "A confirmation by date updates like one by tag.",
        fetch(says(OLD, AGE, "Last-Modified: {now-3000}", "X-A: 1")),
        confirm(
            says(KEPT, "Last-Modified: {now-3000}", "X-A: 2", status=304),
            shows={"x-a": "2"},
        ),
        hit(shows={"x-a": "2"}),
    ),
    Row(
        "a_304_without_validators",
        "9111 §4.3.4",
        MAY,
        "A 304 that names no validator is about what was asked for.",
        fetch(says(OLD, AGE, TAG, "X-A: 1")),
        confirm(says(KEPT, "X-A: 2", status=304), shows={"x-a": "2", "etag": '"a"'}),
        hit(shows={"x-a": "2"}),
    ),
    Row(
        "a_304_that_changes_vary",
        "9111 §4.1",
        MUST,
        "Vary of a 304 counts from then on.",
        fetch(says(OLD, AGE, TAG), "Foo: 1"),
        confirm(says(KEPT, TAG, "Vary: Foo", status=304), "Foo: 1"),
        hit("Foo: 1"),
        fetch(says(KEPT), "Foo: 2"),
    ),
    # HEAD
    Row(
        "head_of_what_is_fresh",
        "9111 §4",
        MAY,
        "HEAD is answered by what GET stored.",
        fetch(says(KEPT, "X-A: 1")),
        hit(method="HEAD", shows={"x-a": "1", "content-length": "29"}),
    ),
    Row(
        "head_of_what_is_stale",
        "9111 §4.3.5",
        MAY,
        "HEAD for what is stale goes to the origin.",
        fetch(says("Cache-Control: max-age=60", AGE, TAG)),
        fetch(says(KEPT, TAG), method="HEAD", asked_with="HEAD"),
    ),
    Row(
        "head_updates_freshness",
        "9111 §4.3.5",
        SHOULD,
        "A 200 to HEAD with the same validators and length updates what is stored: its lifetime.",
        fetch(says(OLD, AGE, TAG, body="12345")),
        fetch(says(KEPT, TAG, body="12345"), method="HEAD", asked_with="HEAD"),
        hit(),
    ),
    Row(
        "head_updates_fields",
        "9111 §4.3.5",
        SHOULD,
        "And its fields.",
        fetch(says(OLD, AGE, TAG, "X-A: 1", "X-B: 1", body="12345")),
        fetch(says(KEPT, TAG, "X-A: 2", body="12345"), method="HEAD"),
        hit(shows={"x-a": "2", "x-b": "1"}),
    ),
    Row(
        "head_with_another_tag",
        "9111 §4.3.5",
        SHOULD,
        "A 200 to HEAD with another ETag makes what is stored stale.",
        fetch(says(KEPT, TAG, body="12345")),
        fetch(says(KEPT, 'ETag: "b"', body="12345"), "Cache-Control: no-cache", method="HEAD"),
        fetch(says(KEPT, 'ETag: "b"', body="123456")),
    ),
    Row(
        "head_with_another_length",
        "9111 §4.3.5",
        SHOULD,
        "A 200 to HEAD with another length makes what is stored stale.",
        fetch(says(KEPT, TAG, body="12345")),
        fetch(says(KEPT, TAG, body="123456"), "Cache-Control: no-cache", method="HEAD"),
        fetch(says(KEPT, TAG, body="123456")),
    ),
    Row(
        "head_is_no_body",
        "9111 §4.3.5",
        MUST_NOT,
        "What answers HEAD isn't stored as what answers GET.",
        fetch(says(KEPT, TAG), method="HEAD"),
        fetch(says(KEPT, TAG)),
    ),
]
