"""proxy_status: what a log reader and a program are told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import errors
from twistproxy.http.proxy_status import proxy_status

REFUSED = errors.CONNECTION_REFUSED.about(server="http://10.0.0.5:9001")
DENIED = errors.REQUEST_DENIED.about(what="ads.example")

STATUS = {
    "error": ((REFUSED, "tp"), {}, b"tp; error=connection_refused"),
    "details": (
        (REFUSED, "tp"),
        {"details": "is it running?"},
        b'tp; error=connection_refused; details="is it running?"',
    ),
    "rule": (
        (DENIED, "tp"),
        {"rule": "no-ads"},
        b'tp; error=http_request_denied; details="rule no-ads"',
    ),
    "rule_and_details": (
        (DENIED, "tp"),
        {"rule": "a", "details": "b"},
        b'tp; error=http_request_denied; details="rule a, b"',
    ),
    "request_error": (
        (errors.LENGTH_REQUIRED, "tp"),
        {},
        b"tp; error=http_request_error; status-code=411",
    ),
    "passed_on": ((None, "tp"), {"rule": "staff"}, b'tp; details="rule staff"'),
    "nothing_to_say": ((None, "tp"), {}, b"tp"),
    "cloak": (
        (DENIED, "tp"),
        {"rule": "a", "details": "10.0.0.5", "cloak": True},
        b"tp; error=http_request_denied",
    ),
    "name_with_space": ((None, "my proxy"), {}, b'"my proxy"'),
    "name_with_digit_first": ((None, "1proxy"), {}, b'"1proxy"'),
    "name_with_colon": ((None, "proxy:3128"), {}, b"proxy:3128"),
    "quotes": ((None, "tp"), {"details": 'a "b" \\c'}, rb'tp; details="a \"b\" \\c"'),
    "not_ascii": ((None, "tp"), {"details": "é\r\nX: y\0"}, b'tp; details="???X: y?"'),
}


@pytest.mark.parametrize(("args", "more", "value"), STATUS.values(), ids=STATUS)
def test_proxy_status(args, more, value):
    assert proxy_status(*args, **more) == value


SF_STRING = rb'"(?:[ !#-\[\]-~]|\\["\\])*"'


@given(name=st.text(max_size=20), details=st.text(max_size=40))
def test_proxy_status_is_a_structured_field_whatever_it_says(name, details):
    value = proxy_status(REFUSED, name, details=details)
    token = rb"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"
    assert re.fullmatch(
        rb"(?:%b|%b); error=connection_refused; details=%b" % (token, SF_STRING, SF_STRING), value
    )
