"""Vary (RFC 9111 §4.1, RFC 9110 §12.5.5)."""

from __future__ import annotations

from rfc9111.table import MAY, MUST, MUST_NOT, SHOULD, Like, Row, confirm, fetch, hit, says

KEPT = "Cache-Control: max-age=3600"


def by(*names: str) -> str:
    return f"Vary: {', '.join(names)}"


def alike(vary: str, first: str, second: str) -> list:
    """Two requests with these fields have one answer."""
    return [fetch(says(KEPT, vary), *_lines(first)), hit(*_lines(second))]


def different(vary: str, first: str, second: str, *lines: str) -> list:
    """Two requests with these fields have an answer each."""
    answer = says(KEPT, vary, *lines)
    return [fetch(answer, *_lines(first)), fetch(answer, *_lines(second))]


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


ROWS = [
    Row(
        "vary_match",
        "9111 §4.1",
        MAY,
        "A variant is reused for the same value.",
        *alike(by("Foo"), "Foo: 1", "Foo: 1"),
    ),
    Row(
        "vary_no_match",
        "9111 §4.1",
        MUST_NOT,
        "A variant isn't reused for another value.",
        *different(by("Foo"), "Foo: 1", "Foo: 2"),
    ),
    Row(
        "vary_omitted",
        "9111 §4.1",
        MUST_NOT,
        "A variant isn't reused where the field is missing.",
        *different(by("Foo"), "Foo: 1", ""),
    ),
    Row(
        "vary_omitted_when_stored",
        "9111 §4.1",
        MUST_NOT,
        "What was stored for no value isn't reused for one.",
        *different(by("Foo"), "", "Foo: 1"),
    ),
    Row(
        "vary_omitted_by_both",
        "9111 §4.1",
        MUST,
        "Missing in both is a match.",
        *alike(by("Foo"), "", ""),
    ),
    Row(
        "vary_empty_is_not_missing",
        "9111 §4.1",
        MUST_NOT,
        "An empty field isn't a missing one.",
        *different(by("Foo"), "Foo:", ""),
    ),
    Row(
        "vary_keeps_several",
        "9111 §4.1",
        MAY,
        "Several variants are kept side by side.",
        fetch(says(KEPT, by("Foo")), "Foo: 1"),
        fetch(says(KEPT, by("Foo")), "Foo: 2"),
        hit("Foo: 1"),
        hit("Foo: 2", of=2),
    ),
    Row(
        "vary_other_fields",
        "9111 §4.1",
        MAY,
        "Fields that Vary doesn't name don't matter.",
        *alike(by("Foo"), "Foo: 1\nOther: 2", "Foo: 1\nOther: 3"),
    ),
    Row(
        "vary_name_in_any_case",
        "9110 §12.5.5",
        MUST,
        "Names of fields are the same in any case.",
        *different("Vary: fOO", "Foo: 1", "Foo: 2"),
    ),
    Row(
        "vary_name_in_any_case_match",
        "9110 §12.5.5",
        MUST,
        "Names of fields are the same in any case.",
        *alike("Vary: fOO", "Foo: 1", "FOO: 1"),
    ),
    Row(
        "vary_value_in_another_case",
        "9111 §4.1",
        MUST_NOT,
        "Values of a field we don't know are not the same in another case.",
        *different(by("Foo"), "Foo: a", "Foo: A"),
    ),
    Row(
        "vary_2_match",
        "9111 §4.1",
        MAY,
        "Two fields, both the same.",
        *alike(by("Foo", "Bar"), "Foo: 1\nBar: abc", "Foo: 1\nBar: abc"),
    ),
    Row(
        "vary_2_no_match",
        "9111 §4.1",
        MUST_NOT,
        "Two fields, one is not the same.",
        *different(by("Foo", "Bar"), "Foo: 1\nBar: abc", "Foo: 2\nBar: abc"),
    ),
    Row(
        "vary_2_omitted",
        "9111 §4.1",
        MUST_NOT,
        "Two fields, neither there.",
        *different(by("Foo", "Bar"), "Foo: 1\nBar: abc", ""),
    ),
    Row(
        "vary_2_on_lines",
        "9110 §5.3",
        MUST,
        "Vary on several lines is one list.",
        *different("Vary: Foo", "Foo: 1\nBar: a", "Foo: 1\nBar: b", "Vary: Bar"),
    ),
    Row(
        "vary_3_match",
        "9111 §4.1",
        MAY,
        "Three fields, all the same.",
        *alike(by("Foo", "Bar", "Baz"), "Foo: 1\nBar: a\nBaz: 7", "Foo: 1\nBar: a\nBaz: 7"),
    ),
    Row(
        "vary_3_no_match",
        "9111 §4.1",
        MUST_NOT,
        "Three fields, one is not the same.",
        *different(by("Foo", "Bar", "Baz"), "Foo: 1\nBar: a\nBaz: 7", "Foo: 2\nBar: a\nBaz: 7"),
    ),
    Row(
        "vary_3_order",
        "9111 §4.1",
        MUST_NOT,
        "Three fields in another order, one is not the same.",
        *different(by("Foo", "Bar", "Baz"), "Foo: 1\nBar: a\nBaz: 7", "Foo: 1\nBaz: 7\nBar: ab"),
    ),
    Row(
        "vary_3_order_match",
        "9111 §4.1",
        MAY,
        "The order of different fields doesn't matter.",
        *alike(by("Foo", "Bar", "Baz"), "Foo: 1\nBar: a\nBaz: 7", "Baz: 7\nBar: a\nFoo: 1"),
    ),
    Row(
        "vary_3_omitted_by_both",
        "9111 §4.1",
        MUST,
        "Three fields, one missing in both.",
        *alike(by("Foo", "Bar", "Baz"), "Foo: 1\nBaz: 7", "Foo: 1\nBaz: 7"),
    ),
    # *
    *(
        Row(
            f"vary_star_{name}",
            "9111 §4.1",
            MUST_NOT,
            f"A response with * in Vary is never reused unasked: {vary}",
            *different(f"Vary: {vary}", "Foo: 1\nBaz: 789", "Foo: 1\nBaz: 789"),
        )
        for name, vary in {
            "alone": "*",
            "twice": "*, *",
            "after_an_empty_member": ", *",
            "before_a_name": "*, Foo",
            "after_a_name": "Foo, *",
            "without_spaces": "Foo,*,Bar",
        }.items()
    ),
    Row(
        "vary_star_on_two_lines",
        "9111 §4.1",
        MUST_NOT,
        "* on two lines.",
        *different("Vary: *", "Foo: 1", "Foo: 1", "Vary: *"),
    ),
    Row(
        "vary_star_after_an_empty_line",
        "9111 §4.1",
        MUST_NOT,
        "* on a line after an empty one.",
        *different("Vary:", "Foo: 1", "Foo: 1", "Vary: *"),
    ),
    Row(
        "vary_that_is_no_list_of_names",
        "9111 §4.1",
        MUST_NOT,
        "A Vary that can't be read is read as *.",
        *different("Vary: a b", "Foo: 1", "Foo: 1"),
    ),
    Row(
        "vary_empty",
        "9110 §12.5.5",
        MAY,
        "An empty Vary names nothing.",
        *alike("Vary:", "Foo: 1", "Foo: 2"),
    ),
    # normal forms
    Row(
        "vary_combines_lines",
        "9111 §4.1",
        MAY,
        "A value on one line is that on several.",
        *alike(by("Foo"), "Foo: 1, 2", "Foo: 1\nFoo: 2"),
    ),
    Row(
        "vary_ignores_space_around",
        "9111 §4.1",
        MAY,
        "Space around a value doesn't matter.",
        *alike(by("Foo"), "Foo: 1", "Foo:   1  "),
    ),
    Row(
        "vary_ignores_space_between",
        "9111 §4.1",
        MAY,
        "Space after a comma doesn't matter.",
        *alike(by("Foo"), "Foo: 1,2", "Foo:  1, 2 "),
    ),
    Row(
        "vary_language_order",
        "9111 §4.1",
        MAY,
        "Languages without weights mean the same in any order.",
        *alike(by("Accept-Language"), "Accept-Language: en, de", "Accept-Language: de, en"),
    ),
    Row(
        "vary_language_case",
        "9111 §4.1",
        MAY,
        "Languages mean the same in any case.",
        *alike(by("Accept-Language"), "Accept-Language: en, de", "Accept-Language: eN, De"),
    ),
    Row(
        "vary_language_space",
        "9111 §4.1",
        MAY,
        "Space between languages doesn't matter.",
        *alike(by("Accept-Language"), "Accept-Language: en, de", "Accept-Language:  en ,   de"),
    ),
    Row(
        "vary_language_weights",
        "9111 §4.1",
        MUST_NOT,
        "Other weights are another value.",
        *different(
            by("Accept-Language"), "Accept-Language: en, de;q=0.5", "Accept-Language: en;q=0.5, de"
        ),
    ),
    Row(
        "vary_language_selected_by_content_language",
        "9111 §4.1",
        MAY,
        "A stored Content-Language isn't chosen by us: origins weigh languages in their own way.",
        *different(
            by("Accept-Language"),
            "Accept-Language: en, de",
            "Accept-Language: fr;q=0.5, de;q=1.0",
            "Content-Language: de",
        ),
        remark="Not taken: only values that mean the same to every origin share a variant.",
    ),
    Row(
        "vary_language_weight_of_1",
        "9111 §4.1",
        MAY,
        "A weight of 1 is none.",
        *alike(by("Accept-Language"), "Accept-Language: en;q=1.0", "Accept-Language: en"),
    ),
    Row(
        "vary_language_weight_with_zeros",
        "9111 §4.1",
        MAY,
        "Zeros at the end of a weight say nothing.",
        *alike(by("Accept-Language"), "Accept-Language: en;q=0.50", "Accept-Language: en; q=0.5"),
    ),
    Row(
        "vary_space_in_quotes",
        "9111 §4.1",
        MUST_NOT,
        "Space within a quoted string matters.",
        *different(by("Foo"), 'Foo: "1,2"', 'Foo: "1, 2"'),
    ),
    Row(
        "vary_of_what_we_write",
        "9111 §4.1",
        MUST_NOT,
        "What varies by a field that the origin sees otherwise than it came isn't reused.",
        *different(by("Via"), "", ""),
    ),
    Row(
        "vary_of_what_connection_names",
        "9111 §4.1",
        MUST_NOT,
        "What varies by a field that didn't reach the origin isn't reused.",
        fetch(says(KEPT, by("Foo")), "Connection: Foo", "Foo: 1", got={"foo": None}),
        fetch(says(KEPT, by("Foo")), "Foo: 1", got={"foo": "1"}),
    ),
    Row(
        "vary_of_those_who_wait",
        "9111 §4.1",
        MUST_NOT,
        "Who waits for another's answer doesn't get one that varies by what they differ in.",
        fetch(says(KEPT, by("Foo"), delay=0.3), crowd=(("Foo: 1",), ("Foo: 2",)), times=2),
    ),
    Row(
        "vary_encoding_order",
        "9111 §4.1",
        MAY,
        "Codings without weights mean the same in any order.",
        *alike(by("Accept-Encoding"), "Accept-Encoding: gzip, br", "Accept-Encoding: br,gzip"),
    ),
    Row(
        "vary_encoding",
        "9111 §4.1",
        MUST_NOT,
        "Who doesn't take gzip doesn't get it.",
        *different(by("Accept-Encoding"), "Accept-Encoding: gzip", "", "Content-Encoding: gzip"),
    ),
    Row(
        "vary_cookie",
        "9111 §4.1",
        MUST_NOT,
        "What varies by Cookie is for that cookie.",
        *different(by("Cookie"), "Cookie: a=1", "Cookie: a=2"),
    ),
    Row(
        "vary_authorization",
        "9111 §4.1",
        MUST_NOT,
        "What varies by Authorization is for those credentials.",
        fetch(says("Cache-Control: public, max-age=60", by("Authorization")), "Authorization: a"),
        fetch(says("Cache-Control: public, max-age=60", by("Authorization")), "Authorization: b"),
    ),
    # several stored
    Row(
        "vary_most_recent",
        "9111 §4.1",
        MUST,
        "Of several that match the most recent is used.",
        fetch(says(KEPT, "Date: {now-100}", by("Foo")), "Foo: 1", "Bar: 1"),
        fetch(says(KEPT, "Date: {now}", by("Bar")), "Foo: 2", "Bar: 1"),
        hit("Foo: 1", "Bar: 1", of=2),
    ),
    Row(
        "vary_that_changes",
        "9111 §4.1",
        MUST_NOT,
        "Each response is judged by its own Vary.",
        fetch(says(KEPT, "Date: {now-100}", by("Foo")), "Foo: 1", "Bar: 1"),
        fetch(says(KEPT, by("Bar")), "Foo: 2", "Bar: 2"),
        hit("Foo: 1", "Bar: 3"),
        hit("Foo: 3", "Bar: 2", of=2),
        fetch(says(KEPT, by("Bar")), "Foo: 3", "Bar: 3"),
    ),
    Row(
        "vary_one_without",
        "9111 §4.1",
        MUST,
        "A later response without Vary is for everybody.",
        fetch(says(KEPT, "Date: {now-100}", by("Foo")), "Foo: 1"),
        fetch(says(KEPT), "Foo: 2"),
        hit("Foo: 3", of=2),
    ),
    # validation
    Row(
        "vary_confirmation_has_the_fields",
        "9111 §4.3.1",
        MUST,
        "The request for a confirmation has the fields that Vary names.",
        fetch(says("Cache-Control: max-age=60", "Age: 61", 'ETag: "a"', by("Abc")), "Abc: 123"),
        confirm(
            says(KEPT, 'ETag: "a"', status=304),
            "Abc: 123",
            got={"if-none-match": '"a"', "abc": "123"},
        ),
    ),
    Row(
        "vary_no_condition_for_another_variant",
        "9111 §4.3.1",
        MAY,
        "A variant that we lack is asked for without conditions.",
        fetch(says(KEPT, 'ETag: "a"', by("Abc")), "Abc: 123"),
        fetch(says(KEPT, 'ETag: "b"', by("Abc")), "Abc: 456", got={"if-none-match": None}),
        remark="Not taken: the ETags of other variants could be sent along.",
    ),
    Row(
        "vary_miss_is_named",
        "9211 §2.2",
        SHOULD,
        "Cache-Status says that there was another variant.",
        fetch(says(KEPT, by("Foo")), "Foo: 1", shows={"cache-status": Like("fwd=uri-miss")}),
        fetch(says(KEPT, by("Foo")), "Foo: 2", shows={"cache-status": Like("fwd=vary-miss")}),
    ),
]
