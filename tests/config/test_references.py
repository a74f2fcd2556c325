"""references: what must fit together. The words for it stand in the cases."""

from __future__ import annotations

import pytest

from twistproxy.config.references import check, tables


def wheres(tree) -> list[tuple[str | int, ...]]:
    return [fault.where for fault in check(tree, ("round_robin",))]


def test_tables():
    tree = {"a": {"b": [{"c": 1}, 5, {"c": 2}]}, "p": {"x": {}, "y": 1}}
    assert list(tables(tree, "a", "b", "*")) == [
        (("a", "b", 0), {"c": 1}),
        (("a", "b", 2), {"c": 2}),
    ]
    assert list(tables(tree, "p", "*")) == [(("p", "x"), {})]
    assert list(tables(tree, "a")) == [(("a",), tree["a"])]
    assert list(tables(tree, "gone", "*")) == []


FITS = {
    "nothing": {},
    "pool": {"reverse": {"route": [{"pool": "a"}]}, "pools": {"a": {}}},
    "clients": {"forward": {"listen": ["tcp:3128"], "clients": []}},
    "loopback": {"forward": {"listen": ["tcp:3128:interface=127.0.0.1", "unix:/a"]}},
    "tls": {"reverse": {"tls_listen": ["tcp:8443"], "tls": [{}]}},
    "a_backup_and_more": {"pools": {"a": {"servers": [{"backup": True}, "http://h"]}}},
    "location": {"policy": {"rule": [{"action": "redirect", "location": "/", "status": 301}]}},
    "strip_less": {"reverse": {"route": [{"path": "/a/b/", "strip_prefix": "/a"}]}},
    "strip_more": {"reverse": {"route": [{"strip_prefix": "/a"}]}},
    "token": {"admin": {"listen": "tcp:9090", "token_file": "t"}},
    # Wrong by themselves, which is said elsewhere:
    "no_endpoint": {"forward": {"listen": ["x", 3]}, "admin": {"listen": []}},
    "types": {"forward": 1, "pools": [], "policy": {"rule": {}}, "reverse": {"route": [3]}},
    "more_types": {"policy": {"rule": [{"action": [], "status": "x", "when": 1, "unless": []}]}},
    "names": {"policy": {"rule": [{"name": []}, {"name": []}]}},
    "route_types": {"reverse": {"route": [{"pool": [], "path": 1, "strip_prefix": "/a"}]}},
    "pool_types": {"pools": {"a": {"servers": 1, "balance": []}, "b": 1}},
}


@pytest.mark.parametrize("tree", FITS.values(), ids=FITS)
def test_fits(tree):
    assert wheres(tree) == []


def test_does_not_fit():
    tree = {
        "forward": {"listen": ["tcp:3128"], "parent": [{"name": "a"}, {"name": "a"}]},
        "reverse": {"listen": [], "route": [{"pool": "b"}, {"path": "/a", "strip_prefix": "/b"}]},
        "pools": {"a": {"servers": [{"backup": True}], "balance": "x"}, "c": {"servers": []}},
        "policy": {"rule": [{"action": "redirect"}, {"action": "deny", "status": 302}]},
        "admin": {"listen": "tcp:9090"},
    }
    assert set(wheres(tree)) == {
        ("forward", "listen", 0),
        ("forward", "parent", 1, "name"),
        ("reverse", "listen"),
        ("reverse", "route", 0, "pool"),
        ("reverse", "route", 1, "strip_prefix"),
        ("pools", "a", "servers"),
        ("pools", "a", "balance"),
        ("pools", "c", "servers"),
        ("policy", "rule", 0, "location"),
        ("policy", "rule", 1, "status"),
        ("admin", "listen"),
    }
