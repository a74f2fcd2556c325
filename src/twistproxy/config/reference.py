"""``docs/configuration.rst``, made from the model: one table of keys for each table of the file.

``python -m twistproxy.config.reference > docs/configuration.rst`` makes it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from twistproxy.config import model
from twistproxy.config.errors import shown
from twistproxy.config.structure import key_of
from twistproxy.config.values import DURATIONS, SIZES, kinds

HEAD = """\
Configuration
=============

.. Made by ``python -m twistproxy.config.reference``: change ``config/model.py``, then run that.

One TOML file. ``twistd -n twistproxy --config FILE`` reads it; without ``--config`` it is
``./twistproxy.toml``, then ``etc/twistproxy.toml`` beside a checkout, then
``/etc/twistproxy/twistproxy.toml``; without any of them everything has its default.
``twistproxy check FILE`` names every error of a file, with its line. Lists count from 0.

- Sizes are ``"512B"``, ``"64KiB"``, ``"256MiB"``, ``"10GiB"`` (1024) or ``"1GB"`` (1000), or a
  number of bytes.
- Durations are ``"500ms"``, ``"5s"``, ``"2m"``, ``"1h"``, ``"1d"``.
- Networks are in CIDR, ``"10.1.0.0/16"``; a plain address is a network of one.
- Listeners are Twisted's endpoint strings: ``"tcp:3128:interface=127.0.0.1"``,
  ``"unix:/run/proxy.sock"``, ``"systemd:INET:name=proxy"``; a colon in a value is ``\\:``, as in
  ``'tcp:3128:interface=\\:\\:1'``. A listener that other machines may reach is *off loopback*: any
  other ``interface``, none at all (every IPv4 address), or a socket of systemd's.
- Hosts are patterns: ``example.org`` is that host, ``.example.org`` that and all below,
  ``*.example.org`` only those below.
- ``${NAME}`` in a string is a variable of the environment, ``${NAME:-default}`` has a default.
- Relative paths start at the file's own folder.
"""

KINDS = kinds(Path())


def reference() -> str:
    return "\n".join([HEAD, *_sections(model.Config, "")])


def _sections(class_: type, name: str, heading: str = "The file itself") -> Iterator[str]:
    """A table's section, then those of the tables in it. ``name``: its place in the file."""
    attrs.resolve_types(class_)
    keys = [attribute for attribute in attrs.fields(class_) if "help" in attribute.metadata]
    underline = "-" * len(heading)
    yield f"{heading}\n{underline}\n\n{cleandoc(class_.__doc__ or '')}\n"
    if keys:
        yield ".. list-table::\n   :header-rows: 1\n   :widths: 15 30 20 35\n"
        yield _row("Key", "Type", "Default", "Meaning")
        for key in keys:
            yield _row(f"``{key_of(key)}``", _type(key.type), _default(key), key.metadata["help"])
        yield ""
    for attribute in attrs.fields(class_):
        table = _table_in(attribute.type)
        if table is None or attribute.name in ("unless", "conditions"):  # as when
            continue
        way = f"{name}.{attribute.name}".lstrip(".")
        match get_origin(attribute.type):
            case dict_ if dict_ is dict:
                way += ".NAME"
                yield from _sections(table, way, f"``[{way}]``")
            case tuple_ if tuple_ is tuple:
                yield from _sections(table, way, f"``[[{way}]]``")
            case _:
                both = " and ``unless``" if attribute.name == "when" else ""
                yield from _sections(table, way, f"``[{way}]``{both}")


def _row(*cells: str) -> str:
    return "\n".join(f"   {'*' if not n else ' '} - {cell}" for n, cell in enumerate(cells))


def _table_in(type_: Any) -> type | None:
    """The class of the tables that a type holds, if any."""
    if attrs.has(type_):
        return type_
    return next(filter(None, map(_table_in, get_args(type_))), None)


def _type(type_: Any) -> str:
    if type_ in KINDS:
        return re.sub(r'"[^"]+"', r"``\g<0>``", KINDS[type_].text)
    if type_ is model.Server:
        return "a url, or a table"
    arms = [arm for arm in get_args(type_) if arm not in (type(None), ...)]
    match get_origin(type_):
        case origin if origin is tuple:
            return f"a list; each {_type(arms[0])}"
        case origin if origin is dict:
            return f"a table; each {_type(arms[1])}"
        case origin if origin is Literal:
            return " or ".join(f"``{shown(word)}``" for word in arms)
        case origin if origin in (Union, UnionType):
            return "; or ".join(map(_type, arms))
    raise TypeError(type_)


def _default(attribute: attrs.Attribute[Any]) -> str:
    if "default" in attribute.metadata:
        return str(attribute.metadata["default"])
    if attribute.default is attrs.NOTHING:
        return "required"
    if attribute.default is None or isinstance(attribute.default, attrs.Factory):  # type: ignore[arg-type]
        return "none"
    return f"``{_written(attribute.default, attribute.type)}``"


def _written(value: Any, type_: Any) -> str:
    """A value as in the file."""
    if isinstance(value, tuple):
        element = get_args(type_)[0]
        return f"[{', '.join(_written(inner, element) for inner in value)}]"
    if type_ in (model.Size, model.PositiveSize):
        return _in_units(value, {unit: n for unit, n in SIZES.items() if unit.endswith("iB")})
    if type_ in (model.Duration, model.PositiveDuration):
        return _in_units(value, DURATIONS)
    return shown(value if isinstance(value, (bool, int)) else str(value))


def _in_units(value: float, units: dict[str, Any]) -> str:
    """In the largest unit of which it is a whole number; 0 in that of 1."""
    unit, worth = max(
        (known for known in units.items() if (value / known[1]).is_integer()),
        key=lambda known: known[1] if value else known[1] == 1,
    )
    return shown(f"{value / worth:g}{unit}")


if __name__ == "__main__":
    print(reference(), end="")
