"""Ranges out of what is stored, and parts that are stored (RFC 9111 §3.3, §3.4; RFC 9110 §14)."""

from __future__ import annotations

from rfc9111.table import MAY, MUST, MUST_NOT, SHOULD, Like, Row, Step, fetch, hit, says

KEPT = "Cache-Control: max-age=3600"
TAG = 'ETag: "a"'
TEN = "0123456789"
LARGE = "".join(f"{n:9}\n" for n in range(100_000))

#: Bytes 0-1 and 8-9 of text/plain.
PARTS = (
    r"(?is)^--(\S+)\r\n(?=.*content-type: text/plain).*content-range: bytes 0-1/10\r\n.*?\r\n01"
    r"\r\n--\1\r\n.*content-range: bytes 8-9/10\r\n.*?\r\n89\r\n--\1--(\r\n)?$"
)


def whole(*lines: str) -> Step:
    """The origin gives the whole, ten bytes."""
    return fetch(says(KEPT, *lines, body=TEN))


def part(text: str, where: str, *asked: str, **more: object) -> Step:
    """That is served out of the cache, as 206."""
    return hit(*asked, status=206, body=text, shows={"content-range": f"bytes {where}/10", **more})


def gives(first: int, last: int, *lines: str) -> object:
    """The origin gives a part of the ten bytes."""
    where = f"Content-Range: bytes {first}-{last}/10"
    return says(KEPT, where, *lines, status=206, body=TEN[first : last + 1])


ROWS = [
    Row(
        "range_of_a_whole",
        "9111 §3.3",
        MAY,
        "A range is served out of a complete object.",
        whole(),
        part("01", "0-1", "Range: bytes=0-1", **{"content-length": "2"}),
    ),
    Row(
        "range_of_a_whole_without_end",
        "9110 §14.1.2",
        MAY,
        "From a byte to the end.",
        whole(),
        part("123456789", "1-9", "Range: bytes=1-"),
    ),
    Row(
        "range_of_a_whole_suffix",
        "9110 §14.1.2",
        MAY,
        "The last bytes.",
        whole(),
        part("9", "9-9", "Range: bytes=-1"),
    ),
    Row(
        "range_of_a_whole_in_the_middle",
        "9110 §14.1.2",
        MAY,
        "Bytes in the middle.",
        whole(),
        part("345", "3-5", "Range: bytes=3-5"),
    ),
    Row(
        "range_that_ends_beyond",
        "9110 §14.1.2",
        MUST,
        "An end beyond the object is its end.",
        whole(),
        part("89", "8-9", "Range: bytes=8-1000"),
    ),
    Row(
        "range_suffix_longer_than_the_object",
        "9110 §14.1.2",
        MUST,
        "A suffix longer than the object is all of it.",
        whole(),
        part(TEN, "0-9", "Range: bytes=-1000"),
    ),
    Row(
        "range_in_any_case",
        "9110 §14.1",
        MUST,
        "Names of units are the same in any case.",
        whole(),
        part("01", "0-1", "Range: BYTES=0-1"),
    ),
    Row(
        "range_keeps_fields",
        "9110 §15.3.7",
        MUST,
        "A 206 has Date, Cache-Control, ETag, Expires, Content-Location and Vary of the 200.",
        whole(
            TAG, "Date: {now}", "Expires: {now+60}", "Vary: X-A", "Content-Location: /a", "X-B: 1"
        ),
        part(
            "01",
            "0-1",
            "Range: bytes=0-1",
            **{
                "date": "{now}",
                "etag": '"a"',
                "cache-control": "max-age=3600",
                "expires": "{now+60}",
                "vary": "X-A",
                "content-location": "/a",
                "x-b": "1",
            },
        ),
    ),
    Row(
        "range_leaves_the_whole",
        "9111 §3.3",
        MUST,
        "After ranges the whole is still there.",
        whole(),
        part("01", "0-1", "Range: bytes=0-1"),
        hit(body=TEN),
    ),
    Row(
        "range_that_cannot_be_satisfied",
        "9110 §15.5.17",
        SHOULD,
        "A range beyond the object is 416, with its length.",
        whole(),
        hit("Range: bytes=10-", status=416, of=0, shows={"content-range": "bytes */10"}),
    ),
    Row(
        "range_suffix_of_nothing",
        "9110 §14.1.2",
        MUST,
        "The last 0 bytes can't be satisfied.",
        whole(),
        hit("Range: bytes=-0", status=416, of=0, shows={"content-range": "bytes */10"}),
    ),
    Row(
        "range_of_another_unit",
        "9110 §14.2",
        MUST,
        "A range in a unit that we don't know is ignored.",
        whole(),
        hit("Range: lines=0-1", shows={"content-range": None}),
    ),
    *(
        Row(
            f"range_malformed_{name}",
            "9110 §14.2",
            MAY,
            f"A Range that is none is ignored: {value}",
            whole(),
            hit(f"Range: {value}"),
        )
        for name, value in {
            "backwards": "bytes=5-3",
            "words": "bytes=a-b",
            "nothing": "bytes=",
            "no_unit": "0-1",
            "space": "bytes = 0-1",
            "negative": "bytes=--1",
        }.items()
    ),
    Row(
        "range_of_several",
        "9110 §14.6",
        MAY,
        "Several ranges come as multipart/byteranges.",
        whole(),
        hit(
            "Range: bytes=0-1,8-9",
            status=206,
            body=Like(PARTS),
            shows={
                "content-type": Like(r"^multipart/byteranges; *boundary="),
                "content-range": None,
            },
        ),
    ),
    Row(
        "range_of_several_of_which_one_can_be_satisfied",
        "9110 §15.3.7.2",
        MUST_NOT,
        "One part is never multipart where one range was asked for; of several it may be one part.",
        whole(),
        part("01", "0-1", "Range: bytes=0-1,20-30"),
    ),
    Row(
        "range_of_a_large_whole",
        "9111 §3.3",
        MAY,
        "A range is served out of a large object.",
        fetch(says(KEPT, body=LARGE)),
        hit("Range: bytes=500000-500009", status=206, body=LARGE[500000:500010]),
        hit("Range: bytes=10-", status=206, body=LARGE[10:]),
    ),
    Row(
        "ranges_that_overlap",
        "9110 §14.2",
        MAY,
        "Ranges that overlap are sent as one.",
        whole(),
        part("012345", "0-5", "Range: bytes=0-3,2-5"),
    ),
    Row(
        "ranges_beyond_number",
        "9110 §14.2",
        MAY,
        "Who asks for very many ranges gets the whole.",
        whole(),
        hit("Range: bytes=" + ",".join(["0-0", "2-2"] * 60), body=TEN),
    ),
    Row(
        "accept_ranges_is_passed_on",
        "9110 §14.3",
        MUST_NOT,
        "Accept-Ranges of the origin isn't changed.",
        whole("Accept-Ranges: none"),
        hit(body=TEN, shows={"accept-ranges": "none"}),
    ),
    Row(
        "range_with_head",
        "9110 §14.2",
        MUST,
        "A Range is ignored where the method isn't GET.",
        whole(),
        hit("Range: bytes=0-1", method="HEAD", status=200, shows={"content-range": None}),
    ),
    Row(
        "range_of_an_error",
        "9110 §14.2",
        MUST,
        "A Range is for what would be a 200: a stored 404 is a 404.",
        fetch(says(KEPT, status=404)),
        hit("Range: bytes=0-1", status=404),
    ),
    Row(
        "range_and_if_none_match",
        "9110 §13.2.2",
        MUST,
        "If-None-Match is judged before Range.",
        whole(TAG),
        hit("Range: bytes=0-1", 'If-None-Match: "a"', status=304),
    ),
    Row(
        "range_and_if_none_match_of_another",
        "9110 §13.2.2",
        MUST,
        "If-None-Match is judged before Range: what the client has is something else.",
        whole(TAG),
        part("01", "0-1", "Range: bytes=0-1", 'If-None-Match: "b"'),
    ),
    # If-Range
    Row(
        "if_range",
        "9110 §13.1.5",
        MUST,
        "If-Range with the tag of what is stored: the part.",
        whole(TAG),
        part("01", "0-1", "Range: bytes=0-1", 'If-Range: "a"'),
    ),
    Row(
        "if_range_of_another",
        "9110 §13.1.5",
        MUST,
        "If-Range with another tag: the whole.",
        whole(TAG),
        hit("Range: bytes=0-1", 'If-Range: "b"', body=TEN),
    ),
    Row(
        "if_range_weak",
        "9110 §13.1.5",
        MUST_NOT,
        "A weak tag never matches.",
        whole('ETag: W/"a"'),
        hit("Range: bytes=0-1", 'If-Range: W/"a"', body=TEN),
    ),
    Row(
        "if_range_by_date",
        "9110 §13.1.5",
        MUST,
        "If-Range with the very Last-Modified, strong since long before Date: the part.",
        whole("Last-Modified: {now-3000}", "Date: {now}"),
        part("01", "0-1", "Range: bytes=0-1", "If-Range: {now-3000}"),
    ),
    Row(
        "if_range_by_a_later_date",
        "9110 §13.1.5",
        MUST,
        "If-Range with any other date: the whole.",
        whole("Last-Modified: {now-3000}", "Date: {now}"),
        hit("Range: bytes=0-1", "If-Range: {now-2000}", body=TEN),
    ),
    Row(
        "if_range_by_a_date_that_is_weak",
        "9110 §8.8.2.2",
        MUST_NOT,
        "A Last-Modified that is that of Date might have changed within the second: the whole.",
        whole("Last-Modified: {now}", "Date: {now}"),
        hit("Range: bytes=0-1", "If-Range: {now}", body=TEN),
    ),
    Row(
        "if_range_without_range",
        "9110 §13.1.5",
        MUST,
        "If-Range without Range is ignored.",
        whole(TAG),
        hit('If-Range: "b"', body=TEN),
    ),
    # parts from the origin
    Row(
        "range_is_passed_on",
        "9110 §14.2",
        MAY,
        "With nothing stored the Range goes to the origin.",
        fetch(gives(0, 3, TAG), "Range: bytes=0-3", got={"range": "bytes=0-3"}),
    ),
    Row(
        "range_answered_by_the_whole",
        "9111 §3",
        MAY,
        "A 200 to a Range is the whole, and stored.",
        fetch(says(KEPT, body=TEN), "Range: bytes=0-3", body=TEN),
        hit(body=TEN),
    ),
    Row(
        "part_is_stored",
        "9111 §3.3",
        MAY,
        "A part is stored, and served again.",
        fetch(gives(5, 9, TAG), "Range: bytes=-5", got={"range": "bytes=-5"}),
        part("56789", "5-9", "Range: bytes=-5"),
    ),
    Row(
        "part_of_a_part",
        "9111 §3.3",
        MAY,
        "A part within a stored part is served.",
        fetch(gives(4, 9, TAG), "Range: bytes=4-"),
        part("678", "6-8", "Range: bytes=6-8"),
    ),
    Row(
        "part_of_a_part_without_end",
        "9111 §3.3",
        MAY,
        "A part to the end within a stored part is served.",
        fetch(gives(4, 9, TAG), "Range: bytes=4-"),
        part("6789", "6-9", "Range: bytes=6-"),
    ),
    Row(
        "part_of_a_part_suffix",
        "9111 §3.3",
        MAY,
        "The last bytes within a stored part are served.",
        fetch(gives(4, 9, TAG), "Range: bytes=4-"),
        part("9", "9-9", "Range: bytes=-1"),
    ),
    Row(
        "part_without_validator",
        "9111 §3.3",
        MAY,
        "A part without a validator is stored, too; it is never combined.",
        fetch(gives(5, 9), "Range: bytes=-5"),
        part("56789", "5-9", "Range: bytes=-5"),
    ),
    Row(
        "part_beyond_a_part",
        "9111 §3.3",
        MUST_NOT,
        "What isn't wholly within the stored part isn't answered by it.",
        fetch(gives(4, 9, TAG), "Range: bytes=4-"),
        fetch(gives(2, 5, TAG), "Range: bytes=2-5", body="2345"),
    ),
    Row(
        "part_is_no_whole",
        "9111 §3.3",
        MUST_NOT,
        "A part isn't sent as if it were the whole.",
        fetch(gives(0, 4), "Range: bytes=0-4"),
        fetch(says(KEPT, body=TEN), body=TEN),
    ),
    Row(
        "part_that_has_changed_is_not_completed",
        "9111 §3.4",
        MUST_NOT,
        "Parts with different strong validators aren't combined.",
        fetch(gives(0, 4, TAG), "Range: bytes=0-4"),
        fetch(says(KEPT, 'ETag: "b"', body="ABCDEFGHIJ"), body="ABCDEFGHIJ"),
        hit(of=2, body="ABCDEFGHIJ"),
    ),
    Row(
        "parts_are_combined",
        "9111 §3.4",
        MAY,
        "Two parts with one strong validator make the whole.",
        fetch(gives(0, 4, TAG), "Range: bytes=0-4"),
        fetch(gives(5, 9, TAG), "Range: bytes=5-9"),
        hit(of=1, status=200, body=TEN),
    ),
    Row(
        "parts_with_weak_validators_are_not_combined",
        "9111 §3.4",
        MUST_NOT,
        "Weak validators don't say that parts fit together.",
        fetch(gives(0, 4, 'ETag: W/"a"'), "Range: bytes=0-4"),
        fetch(gives(5, 9, 'ETag: W/"a"'), "Range: bytes=5-9"),
        fetch(says(KEPT, body=TEN), body=TEN),
    ),
    Row(
        "parts_without_validators_are_not_combined",
        "9111 §3.4",
        MUST_NOT,
        "Nor does none.",
        fetch(gives(0, 4), "Range: bytes=0-4"),
        fetch(gives(5, 9), "Range: bytes=5-9"),
        fetch(says(KEPT, body=TEN), body=TEN),
    ),
    Row(
        "parts_with_different_validators_are_not_combined",
        "9111 §3.4",
        MUST_NOT,
        "Different validators say that parts don't fit together.",
        fetch(gives(0, 4, 'ETag: "a"'), "Range: bytes=0-4"),
        fetch(gives(5, 9, 'ETag: "b"'), "Range: bytes=5-9"),
        fetch(says(KEPT, body=TEN), body=TEN),
    ),
    Row(
        "part_with_no_store",
        "9111 §5.2.2.5",
        MUST_NOT,
        "no-store holds for parts.",
        *(
            fetch(
                says(
                    "Cache-Control: no-store",
                    TAG,
                    "Content-Range: bytes 0-4/10",
                    status=206,
                    body="01234",
                ),
                "Range: bytes=0-4",
            )
            for _ in range(2)
        ),
    ),
    Row(
        "part_that_contradicts_itself",
        "9110 §14.4",
        MUST_NOT,
        "A 206 whose Content-Range doesn't fit its length isn't used.",
        fetch(
            says(KEPT, TAG, "Content-Range: bytes 0-9/5", status=206, body="01234"),
            "Range: bytes=0-4",
        ),
        fetch(gives(0, 4, TAG), "Range: bytes=0-4"),
    ),
    Row(
        "part_of_unknown_length",
        "9110 §14.4",
        MAY,
        "A part of something whose length isn't known goes through.",
        fetch(
            says(KEPT, TAG, "Content-Range: bytes 0-4/*", status=206, body="01234"),
            "Range: bytes=0-4",
        ),
    ),
    Row(
        "parts_of_several_are_not_stored",
        "9110 §15.3.7.2",
        MAY,
        "A multipart/byteranges of the origin goes through; it isn't stored.",
        *(
            fetch(
                says(
                    KEPT,
                    TAG,
                    "Content-Type: multipart/byteranges; boundary=x",
                    status=206,
                    body="--x\r\nContent-Range: bytes 0-0/9\r\n\r\n0\r\n--x--\r\n",
                ),
                "Range: bytes=0-0,2-2",
            )
            for _ in range(2)
        ),
        remark="Not taken: it would have to be taken apart.",
    ),
    Row(
        "part_that_is_stale",
        "9111 §4.2.4",
        MUST_NOT,
        "A stale part isn't served unasked.",
        fetch(
            says(
                "Cache-Control: max-age=60",
                "Age: 100",
                TAG,
                "Content-Range: bytes 0-4/10",
                status=206,
                body="01234",
            ),
            "Range: bytes=0-4",
        ),
        fetch(gives(0, 4, TAG), "Range: bytes=0-4"),
    ),
    Row(
        "part_that_is_all",
        "9110 §15.3.7",
        MAY,
        "A part that is all of it is the whole.",
        fetch(gives(0, 9, TAG), "Range: bytes=0-"),
        hit(status=200, body=TEN),
    ),
    Row(
        "parts_that_overlap_are_combined",
        "9111 §3.4",
        MAY,
        "Parts that overlap make a larger one.",
        fetch(gives(0, 5, TAG), "Range: bytes=0-5"),
        fetch(gives(4, 9, TAG), "Range: bytes=4-9"),
        part("23456789", "2-9", "Range: bytes=2-9"),
    ),
    Row(
        "parts_have_the_fields_of_the_newer",
        "9111 §3.4",
        MUST,
        "Fields of the newer part take the place of those of the older.",
        fetch(gives(0, 4, TAG, "X-A: 1", "X-B: 1"), "Range: bytes=0-4"),
        fetch(gives(5, 9, TAG, "X-A: 2"), "Range: bytes=5-9"),
        hit(status=200, body=TEN, shows={"x-a": "2", "x-b": "1", "content-length": "10"}),
    ),
    Row(
        "part_and_if_none_match",
        "9110 §13.2.2",
        MUST,
        "A client that has it gets 304 to a Range out of a stored part.",
        fetch(gives(0, 4, TAG), "Range: bytes=0-4"),
        hit('If-None-Match: "a"', "Range: bytes=0-4", status=304),
    ),
    Row(
        "part_and_if_range_of_another",
        "9110 §13.1.5",
        MUST,
        "If-Range with another tag: not the stored part.",
        fetch(gives(0, 4, TAG), "Range: bytes=0-4"),
        fetch(
            says(KEPT, TAG, body=TEN), "Range: bytes=0-4", 'If-Range: "b"', got={"if-range": '"b"'}
        ),
    ),
    Row(
        "a_416_is_not_served_for_the_whole",
        "9110 §15.5.17",
        MUST_NOT,
        "A 416 answers one Range: it isn't served to who asks for the whole.",
        fetch(says(KEPT, "Content-Range: bytes */10", status=416), "Range: bytes=10-"),
        fetch(says(KEPT, body=TEN), body=TEN),
    ),
    Row(
        "range_of_a_stale_whole",
        "9111 §4.3.1",
        MUST,
        "A range of what is stale isn't served unasked.",
        fetch(says("Cache-Control: max-age=60", "Age: 100", TAG, body=TEN)),
        fetch(gives(0, 1, TAG), "Range: bytes=0-1", status=206, body="01"),
    ),
]
