"""On which line a key stands. tomllib doesn't tell; a parser with positions is asked when needed.

In: the text of a file that tomllib has read. Out: the lines of all its tables, keys and elements.
tree-sitter takes any text, so this never fails; what it doesn't know gets its table's line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

from twistproxy.config.errors import Where


def lines(source: bytes) -> dict[Where, int]:
    """Each table, key and element, and its line, counted from 1."""
    found: dict[Where, int] = {(): 1}
    last: dict[Where, int] = {}  # of each array of tables: the index of the latest

    def current(names: list[str]) -> Where:
        """``[a.b]`` is in the latest element of ``[[a]]``."""
        where: Where = ()
        for name in names:
            where = (*where, name)
            if where in last:
                where = (*where, last[where])
        return where

    def note(where: Where, node: Node) -> None:
        for end in range(len(where), 0, -1):
            if where[:end] in found:
                return
            found[where[:end]] = node.start_point.row + 1

    def pair(node: Node, table: Where) -> None:
        if node.has_error:  # TOML that this grammar doesn't know
            return
        key, content = _values(node)
        where = (*table, *_names(key))
        note(where, key)
        value(content, where)

    def value(node: Node, where: Where) -> None:
        if node.type == "inline_table":
            for inner in _typed(node, "pair"):
                pair(inner, where)
        elif node.type == "array":
            for index, inner in enumerate(_values(node)):
                note((*where, index), inner)
                value(inner, (*where, index))

    document = Parser(Language(tree_sitter_toml.language())).parse(source).root_node
    for node in document.named_children:
        if node.type == "pair":
            pair(node, ())
            continue
        if node.type not in ("table", "table_array_element"):
            continue
        header = node.named_children[0]
        if header.has_error or not header.type.endswith("_key"):
            continue
        names = _names(header)
        where = current(names)
        if node.type == "table_array_element":
            array = (*current(names[:-1]), names[-1])
            last[array] = last.get(array, -1) + 1
            where = (*array, last[array])
        note(where, node)
        for inner in _typed(node, "pair"):
            pair(inner, where)
    return found


def line(found: dict[Where, int], where: Where) -> int:
    """Its line, or that of what it is in."""
    while where not in found:
        where = where[:-1]
    return found[where]


def _values(node: Node) -> Iterator[Node]:
    return (inner for inner in node.named_children if inner.type != "comment")


def _typed(node: Node, type_: str) -> Iterator[Node]:
    return (inner for inner in node.named_children if inner.type == type_)


def _names(key: Node) -> list[str]:
    text = (key.text or b"").decode()
    if key.type == "bare_key":
        return [text]
    # tomllib knows the escapes of quoted keys.
    names: list[str] = []
    inner: Any = tomllib.loads(f"{text} = 0")
    while inner:
        ((name, inner),) = inner.items()
        names.append(name)
    return names
