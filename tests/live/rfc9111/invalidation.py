"""What an unsafe request makes outdated (RFC 9111 §4.4)."""

from __future__ import annotations

from rfc9111.table import MAY, MUST, MUST_NOT, Row, fetch, hit, says

KEPT = "Cache-Control: max-age=3600"
PART = says(KEPT, 'ETag: "a"', "Content-Range: bytes 0-3/8", status=206, body="abcd")
UNSAFE = ("POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "BREW")


def word(method: str) -> str:
    return method.lower().replace("-", "_")


def there_and_back(*lines: str, status: int = 200, method: str = "POST", path: str = "/b") -> list:
    """Stored under `path`; then an unsafe request for the row's URL is answered so."""
    return [
        fetch(says(KEPT), path=path),
        fetch(says(*lines, status=status), method=method, content="abc"),
    ]


ROWS = [
    *(
        Row(
            f"{word(method)}_invalidates",
            "9111 §4.4",
            MUST,
            f"A success of {method} makes what is stored for its URL outdated.",
            fetch(says(KEPT)),
            fetch(says(), method=method, content="abc"),
            fetch(says(KEPT)),
        )
        for method in UNSAFE
    ),
    *(
        Row(
            f"{word(method)}_that_redirects_invalidates",
            "9111 §4.4",
            MUST,
            f"A redirection that answers {method} is no error, and invalidates.",
            fetch(says(KEPT)),
            fetch(says("Location: /elsewhere", status=303), method=method, content="abc"),
            fetch(says(KEPT)),
        )
        for method in ("POST", "PUT")
    ),
    *(
        Row(
            f"{word(method)}_that_fails_invalidates_nothing_{status}",
            "9111 §4.4",
            MAY,
            f"A {status} to {method} leaves what is stored.",
            fetch(says(KEPT)),
            fetch(says(status=status), method=method, content="abc"),
            hit(),
        )
        for method in UNSAFE[:5]
        for status in (500, 403)
    ),
    *(
        Row(
            f"{word(method)}_invalidates_location",
            "9111 §4.4",
            MAY,
            f"A success of {method} makes its Location outdated.",
            *there_and_back("Location: {path}/b", status=201, method=method),
            fetch(says(KEPT), path="/b"),
        )
        for method in UNSAFE[:5]
    ),
    *(
        Row(
            f"{word(method)}_invalidates_content_location",
            "9111 §4.4",
            MAY,
            f"A success of {method} makes its Content-Location outdated.",
            *there_and_back("Content-Location: {path}/b", method=method),
            fetch(says(KEPT), path="/b"),
        )
        for method in UNSAFE[:5]
    ),
    Row(
        "location_that_is_absolute",
        "9111 §4.4",
        MAY,
        "Location may be a whole URL.",
        *there_and_back("Location: {url}/b", status=201),
        fetch(says(KEPT), path="/b"),
    ),
    Row(
        "location_that_is_relative",
        "9111 §4.4",
        MAY,
        "Location may be relative to the URL.",
        *there_and_back("Location: location_that_is_relative", status=201, path=""),
        fetch(says(KEPT)),
    ),
    Row(
        "location_with_a_query",
        "9111 §4.4",
        MAY,
        "Location with a query is the object with that query.",
        *there_and_back("Location: {path}?a=1", status=201, path="?a=1"),
        fetch(says(KEPT), path="?a=1"),
    ),
    Row(
        "location_with_a_fragment",
        "9111 §4.4",
        MAY,
        "A fragment in Location doesn't matter.",
        *there_and_back("Location: {path}/b#there", status=201),
        fetch(says(KEPT), path="/b"),
    ),
    *(
        Row(
            f"{name}_of_another_{what}",
            "9111 §4.4",
            MUST_NOT,
            f"{field} of another {what} invalidates nothing.",
            *there_and_back(f"{field}: {other}{{path}}/b", status=201),
            hit(path="/b"),
        )
        for name, field in (("location", "Location"), ("content_location", "Content-Location"))
        for what, other in (
            ("host", "http://other.example"),
            ("port", "http://rows.example:81"),
            ("scheme", "https://rows.example"),
        )
    ),
    Row(
        "location_of_an_error",
        "9111 §4.4",
        MAY,
        "Location of an error invalidates nothing.",
        *there_and_back("Location: {path}/b", status=500),
        hit(path="/b"),
    ),
    Row(
        "location_of_a_safe_method",
        "9111 §4.4",
        MUST_NOT,
        "Location of a GET invalidates nothing.",
        fetch(says(KEPT), path="/b"),
        fetch(says("Location: {path}/b", status=302)),
        hit(path="/b"),
    ),
    Row(
        "invalidation_is_of_all_variants",
        "9111 §4.4",
        MUST,
        "All variants are outdated.",
        fetch(says(KEPT, "Vary: Foo"), "Foo: 1"),
        fetch(says(KEPT, "Vary: Foo"), "Foo: 2"),
        fetch(says(), "Foo: 3", method="POST", content="abc"),
        fetch(says(KEPT, "Vary: Foo"), "Foo: 1"),
        fetch(says(KEPT, "Vary: Foo"), "Foo: 2"),
    ),
    Row(
        "invalidation_is_of_no_other_query",
        "9111 §4.4",
        MAY,
        "What has another query stays.",
        fetch(says(KEPT), path="?a=1"),
        fetch(says(), method="POST", content="abc"),
        hit(path="?a=1"),
    ),
    Row(
        "invalidation_is_of_parts",
        "9111 §4.4",
        MUST,
        "Parts are outdated, too.",
        fetch(PART, "Range: bytes=0-3"),
        fetch(says(), method="PUT", content="abc"),
        fetch(PART, "Range: bytes=0-3"),
    ),
    Row(
        "invalidation_is_of_answers_to_query",
        "9111 §4.4",
        MUST,
        "Answers to QUERY for that URL are outdated, too.",
        fetch(says(KEPT), "Content-Type: text/plain", method="QUERY", content="a"),
        fetch(says(), method="PUT", content="abc"),
        fetch(says(KEPT), "Content-Type: text/plain", method="QUERY", content="a"),
    ),
    Row(
        "unsafe_is_written_through",
        "9111 §4",
        MUST,
        "An unsafe request goes to the origin, whatever is stored.",
        fetch(says(KEPT)),
        fetch(says(KEPT), method="POST", content="abc", asked_with="POST"),
    ),
    Row(
        "head_invalidates_nothing",
        "9111 §4.4",
        MUST_NOT,
        "Safe methods invalidate nothing: HEAD.",
        fetch(says(KEPT)),
        hit(method="HEAD"),
        hit(),
    ),
    Row(
        "options_invalidates_nothing",
        "9111 §4.4",
        MUST_NOT,
        "Safe methods invalidate nothing: OPTIONS.",
        fetch(says(KEPT)),
        fetch(says(), method="OPTIONS"),
        hit(),
    ),
    Row(
        "what_is_on_its_way_when_outdated",
        "9111 §4.4",
        MUST,
        "What is fetched after the unsafe request is fresh again.",
        fetch(says(KEPT)),
        fetch(says(), method="PUT", content="abc"),
        fetch(says(KEPT)),
        hit(of=3),
    ),
]
