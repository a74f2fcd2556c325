"""variables: the environment in strings."""

from __future__ import annotations

import pytest

from twistproxy.config.errors import Fault
from twistproxy.config.variables import expand

ENVIRON = {"A": "a", "EMPTY": "", "NESTED": "${A}"}
EXPANDED = {
    "plain": "plain",
    "$A": "$A",
    "${A}": "a",
    "-${A}${A}-": "-aa-",
    "${A:-b}": "a",
    "${B:-b}": "b",
    "${B:-}": "",
    "${B:-:-}": ":-",
    "${EMPTY}": "",
    "${EMPTY:-b}": "b",
    "${NESTED}": "${A}",
}


@pytest.mark.parametrize(("text", "expanded"), EXPANDED.items())
def test_expand(text, expanded):
    assert expand(text, ENVIRON) == (expanded, [])


def test_every_string_of_a_tree_is_expanded_but_no_key():
    tree = {"${A}": [{"b": "${A}"}, ["${A}"], 1, True]}
    assert expand(tree, ENVIRON) == ({"${A}": [{"b": "a"}, ["a"], 1, True]}, [])


def test_what_is_not_set_is_a_fault_and_stays():
    tree, faults = expand({"a": ["x", "${B}${C}"], "b": "${"}, ENVIRON)
    assert tree == {"a": ["x", "${B}${C}"], "b": "${"}
    assert faults == [
        Fault(("a", 1), "the variable B is not set; ${B:-...} gives a default"),
        Fault(("a", 1), "the variable C is not set; ${C:-...} gives a default"),
        Fault(("b",), '"${" begins a variable: ${NAME} or ${NAME:-default}'),
    ]


@pytest.mark.parametrize("text", ["${1}", "${A", "${}", "${A-b}", "${ A }"])
def test_what_is_no_variable(text):
    assert [fault.where for fault in expand(text, ENVIRON)[1]] == [()]
