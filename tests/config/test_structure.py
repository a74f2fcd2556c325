"""structure: trees to classes; what the words for each mistake are stands in the cases."""

from __future__ import annotations

from pathlib import Path

from twistproxy.config.errors import Fault
from twistproxy.config.model import Config, Server, When
from twistproxy.config.structure import structure

FOLDER = Path("/here")


def structured(**tree) -> Config:
    config = structure({"state_dir": "var"} | tree, FOLDER)
    assert isinstance(config, Config), config
    return config


def test_a_server_may_be_a_string():
    written_out = structured(pools={"a": {"servers": [{"url": "http://h"}]}})
    assert structured(pools={"a": {"servers": ["http://h"]}}) == written_out
    assert written_out.pools["a"].servers == (Server(url="http://h"),)


def test_a_condition_may_be_a_single_value():
    rule = {"name": "a", "action": "deny"}
    one = structured(policy={"rule": [rule | {"when": {"host": "h", "port": 80}}]})
    many = structured(policy={"rule": [rule | {"when": {"host": ["h"], "port": [80]}}]})
    assert one == many
    assert one.policy.rule[0].when == When(host=("h",), port=(80,))


def test_lists_become_tuples_so_that_nothing_can_change():
    config = structured(forward={"listen": ["tcp:1:interface=127.0.0.1"]})
    assert hash(config.forward) == hash(config.forward)


def test_the_tree_is_left_as_it_was():
    tree = {"state_dir": "var", "policy": {"rule": [{"name": "a", "action": "deny", "when": {}}]}}
    before = repr(tree)
    structure(tree, FOLDER)
    assert repr(tree) == before


def test_faults_of_all_levels_come_at_once():
    tree = {
        "cach": {},
        "forward": {"listen": ["tcp:1", "x"], "anonymity": "no", "pac": True},
        "pools": {"a": {"servers": [{"wight": 1}]}},
    }
    faults = structure(tree, FOLDER)
    assert isinstance(faults, list)
    assert {fault.where for fault in faults} == {
        ("state_dir",),
        ("cach",),
        ("forward", "listen", 1),
        ("forward", "anonymity"),
        ("forward", "pac"),
        ("pools", "a", "servers", 0, "url"),
        ("pools", "a", "servers", 0, "wight"),
    }
    assert Fault(("forward", "pac"), '"pac" is not in this version') in faults
