"""What must fit together: names that refer to tables, keys that need or exclude each other.

It looks at the tree, not at the classes, so that one misspelled value elsewhere hides nothing;
values of a wrong type are somebody else's fault, and passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from twistproxy.config import endpoints
from twistproxy.config.errors import Fault, Where, did_you_mean, dotted, shown

Table = dict[str, Any]


def check(tree: Table, balancers: Collection[str]) -> Iterator[Fault]:
    for where, forward in tables(tree, "forward"):
        yield from _forward(where, forward)
    for where, reverse in tables(tree, "reverse"):
        yield from _reverse(where, reverse, tree)
    for where, pool in tables(tree, "pools", "*"):
        yield from _pool(where, pool, balancers)
    for where, rule in tables(tree, "policy", "rule", "*"):
        yield from _rule(where, rule)
        yield from _way(where, rule, tree)
    for where, policy in tables(tree, "policy"):
        if "countries" not in policy:
            yield from _unknown_countries(where, policy)
    for where, source in tables(tree, "policy", "lists", "*"):
        if ("file" in source) == ("url" in source):
            yield Fault(where, "needs a file or a url" + (", not both" if "url" in source else ""))
        if "refresh" in source and "url" not in source:
            yield Fault((*where, "refresh"), "is for a url; a file is read when it changes")
    for where, conditions in tables(tree, "policy", "conditions", "*"):
        if not conditions:
            yield Fault(where, "without a condition it always holds")
        yield from _when(where, conditions)
    for where, admin in tables(tree, "admin"):
        yield from _admin(where, admin)
    yield from _twice(tree, "forward", "parent", "*")
    yield from _twice(tree, "policy", "rule", "*")


def tables(tree: Any, *way: str, where: Where = ()) -> Iterator[tuple[Where, Table]]:
    """The tables at ``way`` and how to get to each; ``*``: all elements of a list or table."""
    if not way:
        if isinstance(tree, dict):
            yield where, tree
        return
    step, *rest = way
    inner: list[tuple[str | int, Any]] = []
    if step != "*":
        inner = [(step, tree[step])] if isinstance(tree, dict) and step in tree else []
    elif isinstance(tree, dict):
        inner = list(tree.items())
    elif isinstance(tree, list):
        inner = list(enumerate(tree))
    for key, value in inner:
        yield from tables(value, *rest, where=(*where, key))


def _forward(where: Where, forward: Table) -> Iterator[Fault]:
    listen = forward.get("listen")
    if listen == []:
        yield Fault((*where, "listen"), "needs at least one listener")
    if "clients" in forward or not isinstance(listen, list):
        return
    for index, endpoint in enumerate(listen):
        if _off_loopback(endpoint):
            yield Fault(
                (*where, "listen", index),
                f"{shown(endpoint)} may be reached from elsewhere, so who may use it must be"
                ' written out: clients = ["10.0.0.0/8"]',
            )


def _reverse(where: Where, reverse: Table, tree: Table) -> Iterator[Fault]:
    if reverse.get("listen") == [] and not reverse.get("tls_listen"):
        yield Fault((*where, "listen"), "needs at least one listener, or tls_listen does")
    if reverse.get("tls_listen") and not reverse.get("tls"):
        yield Fault((*where, "tls_listen"), "needs a certificate: [[reverse.tls]]")
    pools = tree.get("pools")
    names = pools if isinstance(pools, dict) else {}
    for at, route in tables(reverse, "route", "*", where=where):
        pool, path, prefix = route.get("pool"), route.get("path", "/"), route.get("strip_prefix")
        if isinstance(pool, str) and pool not in names:
            yield Fault((*at, "pool"), f"no pool named {shown(pool)}" + _suggestion(pool, names))
        if isinstance(prefix, str) and isinstance(path, str) and not _meet(prefix, path):
            yield Fault((*at, "strip_prefix"), f"no path below {shown(path)} begins with it")


def _meet(prefix: str, path: str) -> bool:
    return path.startswith(prefix) or prefix.startswith(path) or not path.startswith("/")


def _suggestion(pool: str, names: Table) -> str:
    if names:
        return did_you_mean(pool, names) or f"; known: {', '.join(names)}"
    return f"; it would be a table [pools.{pool}]"


def _pool(where: Where, pool: Table, balancers: Collection[str]) -> Iterator[Fault]:
    servers, balance = pool.get("servers"), pool.get("balance")
    if servers == []:
        yield Fault((*where, "servers"), "needs at least one server")
    elif isinstance(servers, list) and all(_is_backup(server) for server in servers):
        yield Fault((*where, "servers"), "all are backups; one must be without")
    if isinstance(balance, str) and balance not in balancers:
        yield Fault(
            (*where, "balance"),
            f"{shown(balance)} is not {' or '.join(map(shown, sorted(balancers)))}",
        )


def _is_backup(server: Any) -> bool:
    return isinstance(server, dict) and server.get("backup") is True


def _rule(where: Where, rule: Table) -> Iterator[Fault]:
    action, status = rule.get("action"), rule.get("status")
    if action == "redirect" and "location" not in rule:
        yield Fault((*where, "location"), 'a redirect needs it: location = "https://…"')
    if action in ("allow", "deny", "continue", "ask") and "location" in rule:
        yield Fault((*where, "location"), f"{action} has no location; redirect has")
    if isinstance(status, int):
        if action in ("allow", "continue"):
            yield Fault((*where, "status"), f"{action} has no status; deny and redirect have")
        if action in ("deny", "ask") and not 400 <= status <= 599:
            yield Fault((*where, "status"), f"{status} is not from 400 to 599, as {action} needs")
        if action == "redirect" and status not in REDIRECTS:
            yield Fault(
                (*where, "status"), f"{status} doesn't redirect; 301, 302, 303, 307, 308 do"
            )
    when = rule.get("when")
    if isinstance(when, dict) and when.get("method") in ("CONNECT", ["CONNECT"]):
        for key in NOT_OF_TUNNELS & when.keys():
            yield Fault((*where, "when", key), f"a tunnel has no {key}, so this never holds")
    steps = [key for key in STEPS if key in rule]
    if action == "continue" and not steps:
        yield Fault((*where, "action"), f"continue does nothing by itself; add {_or(STEPS)}")
    if action in ("allow", "deny", "redirect", "ask"):
        for key in steps:
            yield Fault((*where, key), f'is for action = "continue", not {shown(action)}')
    for key in ("when", "unless"):
        conditions = rule.get(key)
        if isinstance(conditions, dict) and (late := sorted(LATE & conditions.keys())):
            for step in steps:
                if step not in WITH_THE_RESPONSE:
                    yield Fault(
                        (*where, step),
                        f"is done before there is a response, whose {late[0]} is asked",
                    )
    if "ask" in rule and action in ("allow", "deny", "redirect", "continue"):
        yield Fault((*where, "ask"), f'is for action = "ask", not {shown(action)}')
    if "page" in rule and action in ("allow", "redirect"):
        yield Fault((*where, "page"), f"{action} has no page")
    quota = rule.get("quota")
    if isinstance(quota, dict):
        units = [unit for unit in ("requests", "bytes", "minutes") if unit in quota]
        if len(units) != 1:
            yield Fault((*where, "quota"), "needs one of requests, bytes and minutes")
    for key in EDITS:
        yield from _edit((*where, key), rule.get(key))
    for key in ("when", "unless"):
        conditions = rule.get(key)
        if key == "unless" and conditions == {}:
            yield Fault((*where, key), "without a condition it vetoes every request")
        yield from _when((*where, key), conditions)
        if isinstance(conditions, dict) and "timezone" in conditions:
            of_quota = key == "when" and "quota" in rule
            if not of_quota and "time" not in conditions:
                yield Fault((*where, key, "timezone"), "is the time's; there is none")


def _way(where: Where, rule: Table, tree: Table) -> Iterator[Fault]:
    """A rule's own pool or parent."""
    pools = tree.get("pools")
    parents = [table.get("name") for _, table in tables(tree, "forward", "parent", "*")]
    known = {
        "pool": ("forward", list(pools) if isinstance(pools, dict) else []),
        "parent": ("reverse", [name for name in parents if isinstance(name, str)]),
    }
    for key, (other_side, names) in known.items():
        name = rule.get(key)
        if isinstance(name, str) and name not in names:
            hint = did_you_mean(name, names) or f"; known: {', '.join(names) or 'none'}"
            yield Fault((*where, key), f"no {key} named {shown(name)}{hint}")
        elif name is not None and rule.get("side") == other_side:
            yield Fault((*where, key), f"the {other_side} side has no {key}s")


def _edit(where: Where, names: Any) -> Iterator[Fault]:
    steps: list[tuple[str | int, Any]] = []
    if isinstance(names, list):
        steps = list(enumerate(names))
    elif isinstance(names, dict):
        steps = [(name, name) for name in names]
    for step, name in steps:
        if isinstance(name, str) and name.lower() in OURS:
            yield Fault(
                (*where, step),
                f"{name} belongs to a connection, or says how long a message is or where it goes:"
                " no rule changes it",
            )


def _unknown_countries(where: Where, policy: Table) -> Iterator[Fault]:
    ways = (("rule", "*", "when"), ("rule", "*", "unless"), ("conditions", "*"))
    for way in ways:
        for at, conditions in tables(policy, *way, where=where):
            if "country" in conditions:
                yield Fault((*at, "country"), "needs a file that knows them: policy.countries")


def _when(where: Where, conditions: Any) -> Iterator[Fault]:
    for name, any_of in conditions.items() if isinstance(conditions, dict) else ():
        if any_of == []:
            yield Fault((*where, name), "an empty list matches nothing")
        if any_of == {} or (isinstance(any_of, list) and {} in any_of):
            yield Fault((*where, name), "an empty table matches everything")


def _or(words: Collection[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}"


EDITS = (
    "set_request",
    "add_request",
    "remove_request",
    "set_response",
    "add_response",
    "remove_response",
)
#: What a rule that continues does.
STEPS = (*EDITS, "rewrite", "parent", "pool", "rate", "concurrency", "bandwidth", "quota")
#: Conditions that the response decides, and what a rule can still do then.
LATE = frozenset({"content_type", "length"})
WITH_THE_RESPONSE = frozenset({"set_response", "add_response", "remove_response", "bandwidth"})
#: What a CONNECT, whose content nobody sees, can't be asked.
NOT_OF_TUNNELS = frozenset({"content_type", "cookie", "length", "path", "query", "scheme", "url"})
#: Fields of one connection, and of framing (RFC 9110 §7.6.1, RFC 9112 §6), and those that decide
#: where a request goes (§7.2).
OURS = frozenset(
    [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
#: RFC 9110 §15.4: those that send a client to Location.
REDIRECTS = frozenset({301, 302, 303, 307, 308})


def _admin(where: Where, admin: Table) -> Iterator[Fault]:
    listen = admin.get("listen")
    if "token_file" not in admin and _off_loopback(listen):
        yield Fault(
            (*where, "listen"), f"{shown(listen)} may be reached from elsewhere: needs a token_file"
        )


def _off_loopback(endpoint: Any) -> bool:
    try:
        return isinstance(endpoint, str) and not endpoints.is_loopback(endpoint)
    except ValueError:
        return False  # no endpoint: that is said already


def _twice(tree: Table, *way: str) -> Iterator[Fault]:
    first: dict[str, Where] = {}
    for where, table in tables(tree, *way):
        name = table.get("name")
        if not isinstance(name, str):
            continue
        if name in first:
            yield Fault((*where, "name"), f"{shown(name)} is the name of {dotted(first[name])} too")
        else:
            first[name] = where
