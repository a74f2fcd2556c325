"""errors: the names and statuses of RFC 9209, and sentences that can be filled in."""

from __future__ import annotations

from string import Formatter

import pytest

from twistproxy.http import errors
from twistproxy.http.errors import Problem

PROBLEMS = {name: value for name, value in vars(errors).items() if isinstance(value, Problem)}

#: RFC 9209 §2.3: the recommended status, or several where it says "the appropriate one".
RECOMMENDED = {
    "dns_timeout": {504},
    "dns_error": {502},
    "destination_not_found": {500},
    "": {302},  # a redirect: no error
    "destination_unavailable": {503},
    "destination_ip_prohibited": {502},
    "destination_ip_unroutable": {502},
    "connection_refused": {502},
    "connection_terminated": {502},
    "connection_timeout": {504},
    "connection_read_timeout": {504},
    "connection_write_timeout": {504},
    "connection_limit_reached": {503},
    "tls_protocol_error": {502},
    "tls_certificate_error": {502},
    "tls_alert_received": {502},
    "http_request_error": {400, 404, 405, 408, 411, 413, 414, 417, 421, 431, 501, 505},
    "http_request_denied": {403},
    "http_response_incomplete": {502},
    "http_response_header_section_size": {502},
    "http_response_transfer_coding": {502},
    "http_response_content_coding": {502},
    "http_response_timeout": {504},
    "http_upgrade_failed": {502},
    "http_protocol_error": {502},
    "proxy_internal_response": {502, 504},  # "the most appropriate"
    "proxy_internal_error": {500},
    "proxy_configuration_error": {500},
    "proxy_loop_detected": {502},
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_name_and_status_are_those_of_the_rfc(problem):
    assert problem.status in RECOMMENDED[problem.name]


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_its_text_is_a_sentence_that_names_what_it_takes(problem):
    assert problem.text[0].isupper() or problem.text[0] == "{"
    assert problem.text.endswith((".", "?"))
    blanks = {name: "x" for _, name, _, _ in Formatter().parse(problem.text) if name}
    told = problem.about(**blanks)
    assert "{" not in told.text
    assert (told.name, told.status, told.retry) == (problem.name, problem.status, problem.retry)


@pytest.mark.parametrize("status", [400, 404, 405, 408, 411, 413, 414, 417, 421, 431, 501, 505])
def test_there_is_a_problem_for_each_status_of_a_bad_request(status):
    assert status in {problem.status for problem in PROBLEMS.values()}


def test_only_what_happens_before_an_answer_is_tried_again():
    retried = {problem.name for problem in PROBLEMS.values() if problem.retry}
    assert retried == {
        "destination_ip_unroutable",
        "connection_refused",
        "connection_terminated",
        "connection_timeout",
        "tls_protocol_error",
        "http_response_timeout",
    }


def test_what_a_peer_says_is_no_format():
    odd = "{why} {0} {why.__class__} }{ %s"
    assert errors.BAD_REQUEST.about(why=odd).text == f"The request can't be understood: {odd}."


def test_another_status_changes_nothing_else():
    told = errors.REQUEST_DENIED.about(what="It").as_status(451)
    assert told == Problem("http_request_denied", 451, "It is not allowed here.")


def test_it_can_be_told_again_in_other_words():
    told = errors.DNS_ERROR.about(host="a.test")
    assert told.template == errors.DNS_ERROR.text
    assert told.template.format(**told.details) == told.text
    assert (errors.DNS_ERROR.template, errors.DNS_ERROR.details) == (None, {})


def test_a_limit_has_its_own_sentence():
    told = errors.limit_reached("No more than {limit}.", limit=5)
    assert told == Problem("http_request_denied", 429, "No more than 5.")
    assert (told.template, told.details) == ("No more than {limit}.", {"limit": "5"})


def test_an_exception_that_says_why_is_not_kept():
    assert errors.BAD_REQUEST.about(why=ValueError("no")).details == {"why": "no"}


def test_a_problem_is_a_value():
    assert errors.BAD_REQUEST.about(why="a") == errors.BAD_REQUEST.about(why="a")
    assert len({errors.BAD_REQUEST.about(why="a"), errors.BAD_REQUEST.about(why="a")}) == 1
