"""Named pools: who is tried in which order, and what a reload leaves as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.logger import capturedLogs

from twistproxy.config import model
from twistproxy.net.tls import BadFile
from twistproxy.upstream.pool import Pool, Pools, faults
from twistproxy.upstream.server import OUT_FOR, Server

A, B, C = (model.Server(url=f"http://{name}.example") for name in "abc")
SPARE = model.Server(url="http://spare.example", backup=True)


def pool_of(outside: Any, *servers: model.Server, before: Pool | None = None) -> Pool:
    return Pool("api", model.Pool(servers=servers), outside.means, before)


def names(servers: Any) -> list[str]:
    return [server.place.host.removesuffix(".example") for server in servers]


def by_name(pool: Pool) -> dict[str, Server]:
    return dict(zip(names(pool.servers), pool.servers, strict=True))


# -- the order ------------------------------------------------------------------------

ORDERS = {
    "all_up": ("", ["a", "b", "spare"]),
    "one_down": ("a", ["b", "spare", "a"]),
    "backup_first_when_all_are_down": ("ab", ["spare", "a", "b"]),
    "everything_down": ("abs", ["a", "b", "spare"]),
    "backup_down": ("s", ["a", "b", "spare"]),
}


@pytest.mark.parametrize(("down", "order"), ORDERS.values(), ids=ORDERS)
def test_up_before_backup_before_down(outside: Any, down: str, order: list[str]) -> None:
    pool = pool_of(outside, A, B, SPARE)
    for name, server in by_name(pool).items():
        if name[0] in down:
            server.failed()
    found = names(pool.order(b""))
    assert found == order


def test_the_only_one_is_tried_up_or_down(outside: Any) -> None:
    pool = pool_of(outside, A)
    for _ in range(2):
        assert names(pool.order(b"")) == ["a"]
        pool.servers[0].failed()


def test_the_turn_goes_round(outside: Any) -> None:
    pool = pool_of(outside, A, B, C)
    assert names(next(pool.order(b"")) for _ in range(6)) == ["a", "b", "c", "a", "b", "c"]


def test_weights_are_shares(outside: Any) -> None:
    pool = pool_of(outside, evolve(A, weight=3), B)
    asked = names(next(pool.order(b"")) for _ in range(40))
    assert (asked.count("a"), asked.count("b")) == (30, 10)


def test_who_was_out_has_its_turn_again(outside: Any) -> None:
    pool = pool_of(outside, A, B)
    by_name(pool)["a"].failed()
    assert names(next(pool.order(b"")) for _ in range(2)) == ["b", "b"]
    outside.clock.advance(OUT_FOR)
    assert set(names(next(pool.order(b"")) for _ in range(2))) == {"a", "b"}


def test_who_fails_while_others_are_tried_is_not_tried_again(outside: Any) -> None:
    pool = pool_of(outside, A, B)
    tried = []
    for server in pool.order(b""):
        tried.append(server)
        server.failed()
    assert names(tried) == ["a", "b"]


# -- reloads --------------------------------------------------------------------------


def test_a_pool_that_did_not_change_is_the_same(outside: Any) -> None:
    config = {"api": model.Pool(servers=(A, B)), "web": model.Pool(servers=(C,))}
    before = Pools(config, outside.means)
    after = Pools({**config, "web": model.Pool(servers=(B,))}, outside.means, before)
    assert after["api"] is before["api"]
    assert after["web"] is not before["web"]


def test_servers_that_did_not_change_keep_connections_and_health(outside: Any) -> None:
    before = pool_of(outside, A, B)
    (leg,) = outside.idle(by_name(before)["a"])
    by_name(before)["b"].failed()
    after = pool_of(outside, C, B, A, before=before)
    assert by_name(after)["a"].take() is leg
    assert not by_name(after)["b"].up
    assert by_name(after)["c"] not in before.servers


CHANGES = {
    "weight": evolve(A, weight=2),
    "bound": evolve(A, max_connections=1),
    "url": evolve(A, url="https://a.example"),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_a_changed_server_is_another(outside: Any, changed: model.Server) -> None:
    before = pool_of(outside, A)
    (after,) = pool_of(outside, changed, before=before).servers
    assert after is not before.servers[0]


def test_all_servers_of_the_pools_are_known(outside: Any) -> None:
    pools = Pools(
        {"api": model.Pool(servers=(A, B)), "web": model.Pool(servers=(SPARE,))}, outside.means
    )
    assert sorted(names(pools.servers())) == ["a", "b", "spare"]


# -- TLS ------------------------------------------------------------------------------

SECURE = model.Server(url="https://a.example")


def test_only_https_servers_have_tls(outside: Any) -> None:
    plain, secure = pool_of(outside, A, SECURE).servers
    plain.connect()
    assert outside.hello() is None
    secure.connect()
    assert outside.hello() is not None


def test_the_name_that_is_verified(outside: Any) -> None:
    tls = model.PoolTls(server_name="inside.example")
    for config, name in ((model.PoolTls(), b"a.example"), (tls, b"inside.example")):
        pool = Pool("api", model.Pool(servers=(SECURE,), tls=config), outside.means)
        pool.servers[0].connect()
        assert name in outside.hello()


def test_other_authorities_make_other_servers(outside: Any, authority: Path) -> None:
    config = model.Pool(servers=(SECURE,), tls=model.PoolTls(ca=authority))
    before = Pools({"api": config}, outside.means)
    assert Pools({"api": config}, outside.means, before)["api"] is before["api"]
    unverified = evolve(config, tls=model.PoolTls(verify=False))
    after = Pools({"api": unverified}, outside.means, before)
    assert after["api"].servers[0] is not before["api"].servers[0]


def test_a_file_of_authorities_that_changed_is_read_again(
    outside: Any, authority: Path, other_authority: Path
) -> None:
    config = model.Pool(servers=(SECURE,), tls=model.PoolTls(ca=authority))
    before = Pools({"api": config}, outside.means)
    authority.write_bytes(other_authority.read_bytes())
    after = Pools({"api": config}, outside.means, before)
    assert after["api"].servers[0] is not before["api"].servers[0]


def test_authorities_that_cannot_be_read_are_told(outside: Any, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    config = model.Pool(servers=(SECURE,), tls=model.PoolTls(ca=file))
    with pytest.raises(BadFile, match=r"ca\.pem"):
        Pools({"api": config}, outside.means)


def test_what_cannot_be_a_pools_is_told_where(tmp_path: Path, authority: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    twice = (A, B, model.Server(url="http://A.example:80/", weight=2))
    config = {
        "good": model.Pool(servers=(A, B, SECURE), tls=model.PoolTls(ca=authority)),
        "my api": model.Pool(servers=twice, tls=model.PoolTls(ca=tmp_path / "ca.pem")),
    }
    ca, again = faults(config)
    assert ca.where == ("pools", "my api", "tls", "ca")
    assert ca.message == f"{tmp_path}/ca.pem: no certificate in PEM form is in it"
    assert again.where == ("pools", "my api", "servers", 2)
    assert again.message.startswith('is pools."my api".servers[0] again')


# -- what is shown --------------------------------------------------------------------


def test_the_tables(outside: Any) -> None:
    config = {"api": model.Pool(servers=(A, evolve(B, weight=2))), "web": model.Pool(servers=(C,))}
    pools = Pools(config, outside.means)
    by_name(pools["api"])["b"].failed("refused the connection")
    lines = [
        "pool  server               up   weight  active  idle  requests  failures  last failure",
        "api   http://a.example:80  yes       1       0     0         0         0  -",
        "api   http://b.example:80  no        2       0     0         0         1"
        "  refused the connection",
        "web   http://c.example:80  yes       1       0     0         0         0  -",
    ]
    assert repr(pools).splitlines() == lines
    assert repr(pools["api"]).splitlines() == lines[:-1]
    assert repr(Pools({}, outside.means)) == "no pools"


def test_the_log_says_whose_a_server_is(outside: Any) -> None:
    with capturedLogs() as logged:
        by_name(pool_of(outside, A))["a"].failed()
    assert logged[0]["whose"] == "pool api"


def test_the_figures(outside: Any) -> None:
    pools = Pools({"api": model.Pool(servers=(A,))}, outside.means)
    (server,) = pools["api"].servers
    assert pools.snapshot() == {
        "api": {"balance": "round_robin", "servers": [server.snapshot()]},
    }
    assert (list(pools), len(pools)) == (["api"], 1)
