"""Which variant a request may have, row by row (RFC 9111 §4.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.fields import Fields
from twistproxy.http.variants import selects, variant, vary_names

Lines = list[tuple[bytes, bytes]]

A = b"Accept"
AE = b"Accept-Encoding"
AL = b"Accept-Language"
UA = b"User-Agent"
VARIANTS: dict[str, tuple[bytes, Lines, Lines, bool]] = {
    "4.1_no_vary": (b"", [(A, b"a")], [(A, b"b")], True),
    "4.1_same": (b"accept", [(A, b"a")], [(A, b"a")], True),
    "4.1_other": (b"accept", [(A, b"a")], [(A, b"b")], False),
    "4.1_absent_in_both": (b"accept", [], [], True),
    "4.1_absent_then_present": (b"accept", [], [(A, b"a")], False),
    "4.1_present_then_absent": (b"accept", [(A, b"a")], [], False),
    "4.1_empty_is_not_absent": (b"accept", [(A, b"")], [], False),
    "4.1_other_fields_are_free": (b"accept", [(A, b"a")], [(A, b"a"), (b"X", b"1")], True),
    "4.1_one_of_two_differs": (b"a, b", [(b"A", b"1"), (b"B", b"1")], [(b"A", b"1")], False),
    "4.1_case_of_names": (b"ACCEPT", [(b"aCCept", b"a")], [(A, b"a")], True),
    "4.1_lines_combined": (b"x", [(b"X", b"1"), (b"X", b"2")], [(b"X", b"1, 2")], True),
    "4.1_space_around_commas": (b"x", [(b"X", b"1,2")], [(b"X", b"1 ,\t2")], True),
    "4.1_space_within_quotes": (b"x", [(b"X", b'"1,2"')], [(b"X", b'"1, 2"')], False),
    "4.1_space_elsewhere": (b"x", [(b"X", b"1 2")], [(b"X", b"1  2")], False),
    "4.1_space_in_a_cookie": (b"cookie", [(b"Cookie", b"a=1,2")], [(b"Cookie", b"a=1, 2")], False),
    "4.1_space_in_an_agent": (b"user-agent", [(UA, b"a (b,c)")], [(UA, b"a (b, c)")], False),
    "4.1_empty_elements_matter": (b"x", [(b"X", b"1,2")], [(b"X", b"1,,2")], False),
    "4.1_order_matters": (b"x", [(b"X", b"1, 2")], [(b"X", b"2, 1")], False),
    "4.1_case_matters": (b"x", [(b"X", b"a")], [(b"X", b"A")], False),
    "4.1_encodings_any_order": (AE, [(AE, b"gzip, br")], [(AE, b"BR ,gzip")], True),
    "4.1_encodings_differ": (AE, [(AE, b"gzip, br")], [(AE, b"gzip")], False),
    "4.1_encodings_empty_elements": (AE, [(AE, b"gzip,,br,")], [(AE, b"br,gzip")], True),
    "4.1_weight_of_one": (AE, [(AE, b"gzip ; q=1.000, br")], [(AE, b"gzip,br;Q=1")], True),
    "4.1_weight_spelled_otherwise": (AE, [(AE, b"gzip;q=0.50")], [(AE, b"gzip; q=0.5")], True),
    "4.1_weight_of_none": (AE, [(AE, b"gzip;q=0.0")], [(AE, b"gzip; q=0")], True),
    "4.1_weights_differ": (AE, [(AE, b"gzip;q=0.5")], [(AE, b"gzip;q=0.05")], False),
    "4.1_weight_invalid": (AE, [(AE, b"gzip;q=10")], [(AE, b"gzip")], False),
    "4.1_weight_too_exact": (AE, [(AE, b"gzip;q=0.1234")], [(AE, b"gzip;q=0.123")], False),
    "4.1_parameter": (AL, [(AL, b"en;x=1")], [(AL, b"en")], False),
    "4.1_languages_case": (AL, [(AL, b"en, de")], [(AL, b"eN,   De")], True),
    "4.1_encoding_quality": (AE, [(AE, b"gzip;q=1")], [(AE, b"gzip;q=0")], False),
    "4.1_long_encodings": (AE, [(AE, b"a" * 300)], [(AE, b"a" * 300)], True),
    "4.1_cookie": (b"Cookie", [(b"Cookie", b"a=1")], [(b"Cookie", b"a=2")], False),
}


@pytest.mark.parametrize(("vary", "first", "second", "same"), VARIANTS.values(), ids=VARIANTS)
def test_variants(vary: bytes, first: Lines, second: Lines, same: bool) -> None:
    response = Fields([(b"Vary", vary)] if vary else [])
    stored = variant(Fields(first), response)
    assert selects(Fields(first), stored)
    assert selects(Fields(second), stored) is same


def test_vary_names_in_one_order_each_once() -> None:
    assert vary_names(Fields([(b"Vary", b"B, a"), (b"vary", b"b,,")])) == (b"a", b"b")
    assert vary_names(Fields()) == ()


NAMES = {
    "4.1_any": [b"*"],
    "4.1_any_twice": [b"*, *"],
    "4.1_any_after_nothing": [b", *"],
    "4.1_any_after_an_empty_line": [b"", b"*"],
    "4.1_any_on_two_lines": [b"*", b"*"],
    "4.1_any_first": [b"*, Foo"],
    "4.1_any_last": [b"Foo, *"],
    "4.1_any_on_another_line": [b"Foo", b"*"],
    "4.1_any_between": [b"a,*\t,b"],
    "4.1_no_token": [b"a b"],
    "4.1_quoted": [b'"a"'],
    "4.1_not_ascii": [b"\xe9"],
    "4.1_long": [b"a, " * 200 + b"*"],
}


@pytest.mark.parametrize("values", NAMES.values(), ids=NAMES)
def test_chosen_by_more_than_fields(values: list[bytes]) -> None:
    assert vary_names(Fields([(b"Vary", value) for value in values])) is None


ELEMENTS = st.lists(
    st.tuples(
        st.sampled_from([b"gzip", b"br", b"identity"]),
        st.sampled_from([b"", b"; q=1", b";q=0.5", b";q=0.50 "]),
    ),
    max_size=4,
)


@given(ELEMENTS, ELEMENTS)
def test_encodings_match_exactly_when_the_same_are_wanted_as_much(
    one: list[tuple[bytes, bytes]], other: list[tuple[bytes, bytes]]
) -> None:
    def wanted(elements: list[tuple[bytes, bytes]]) -> set[tuple[bytes, bool]]:
        return {(name, b"0.5" in weight) for name, weight in elements}

    def fields(elements: list[tuple[bytes, bytes]]) -> Fields:
        return Fields([(AE, b", ".join(b"".join(element) for element in elements))])

    stored = variant(fields(one), Fields([(b"Vary", AE)]))
    assert selects(fields(other), stored) is (wanted(one) == wanted(other))


@given(st.binary(), st.binary())
def test_nothing_raises_and_what_came_selects_itself(vary: bytes, value: bytes) -> None:
    request = Fields([(b"Accept-Encoding", value), (b"X", value), (b"Accept-Language", value)])
    for names in (vary, b"x, accept-encoding, accept-language"):
        assert selects(request, variant(request, Fields([(b"Vary", names)])))
