"""TOML's tables to the model's classes, and cattrs' errors to faults.

cattrs goes through all of a tree before it raises; its notes tell the way to each error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import eq
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import (
    AttributeValidationNote,
    BaseValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.cols import homogenous_tuple_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from twistproxy.config import later, model
from twistproxy.config.errors import Fault, Where, did_you_mean, shown
from twistproxy.config.values import kinds

Hook = Callable[[Any, Any], Any]
T = TypeVar("T")


def structure(tree: dict[str, Any], folder: Path) -> model.Config | list[Fault]:
    """The configuration, or what is wrong with it. Relative paths start at ``folder``."""
    return structured(model.Config, tree, folder)


def structured(class_: type[T], tree: dict[str, Any], folder: Path) -> T | list[Fault]:
    """The same of another file, whose tables are this class's."""
    try:
        return _converter(folder).structure(tree, class_)
    except BaseValidationError as error:
        return list(_faults(error, ()))


def _converter(folder: Path) -> Converter:
    converter = Converter(forbid_extra_keys=True)
    factory = converter.register_structure_hook_factory
    factory(attrs.has, _table)
    factory(_is(tuple), _list)
    factory(_is(dict), _named_tables)
    factory(_is(Literal), _word)
    factory(_is_listed_or_not, _listed_or_not)
    for type_, kind in kinds(folder).items():
        if isinstance(type_, type):
            converter.register_structure_hook(type_, kind.structure)
        else:
            converter.register_structure_hook_func(partial(eq, type_), kind.structure)
    return converter


def _table(class_: type, converter: Converter) -> Hook:
    attrs.resolve_types(class_)
    hooks: dict[str, Any] = {
        attribute.name: override(
            rename=key_of(attribute), struct_hook=converter.get_structure_hook(attribute.type)
        )
        for attribute in attrs.fields(class_)
    }
    # The linecache would keep the code of each reload for ever.
    from_table: Hook = make_dict_structure_fn(
        class_, converter, _cattrs_use_linecache=False, **hooks
    )
    written_out = SHORTHANDS.get(class_, _as_it_is)

    def hook(value: Any, type_: Any) -> Any:
        table = written_out(value)
        if isinstance(table, list) and any(isinstance(inner, dict) for inner in table):
            raise ValueError("a list where one table belongs: [NAME], not [[NAME]]")
        if not isinstance(table, dict):
            raise ValueError(f"{shown(value)} is not a table")
        return from_table(table, type_)

    return hook


def key_of(attribute: attrs.Attribute[Any]) -> str:
    """What a user writes: a word of Python's own has an underscore in the model."""
    return attribute.name.rstrip("_")


def _as_it_is(value: Any) -> Any:
    return value


def _server(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _conditions(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: any_of if isinstance(any_of, list) or key == "timezone" else [any_of]
        for key, any_of in value.items()
    }


#: What may be written shorter than its table.
SHORTHANDS: dict[type, Callable[[Any], Any]] = {model.Server: _server, model.When: _conditions}


def _list(type_: Any, converter: Converter) -> Hook:
    of_tables = attrs.has(get_args(type_)[0])
    structure_list = homogenous_tuple_structure_factory(type_, converter)

    def hook(value: Any, type_: Any) -> Any:
        if isinstance(value, dict) and of_tables:
            raise ValueError("one table where a list belongs: [[NAME]], not [NAME]")
        if not isinstance(value, list):
            raise ValueError(f"{shown(value)} is not a list; write [{shown(value)}]")
        return structure_list(value, type_)

    return hook


def _named_tables(type_: Any, converter: Converter) -> Hook:
    structure_mapping = mapping_structure_factory(type_, converter)

    def hook(value: Any, type_: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{shown(value)} where named tables belong: [TABLE.NAME]")
        return structure_mapping(value, type_)

    return hook


def _word(type_: Any) -> Hook:
    words = get_args(type_)

    def hook(value: Any, _: Any) -> Any:
        if value not in words:
            raise ValueError(f"{shown(value)} is not {' or '.join(map(shown, words))}")
        return value

    return hook


def _listed_or_not(type_: Any, converter: Converter) -> Hook:
    """A list, or one value in place of any: ``connect_ports``, ``allow_private``."""
    single, listed = get_args(type_)
    if get_origin(single) is tuple:
        single, listed = listed, single
    one, many = converter.get_structure_hook(single), converter.get_structure_hook(listed)

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, list):
            return many(value, listed)
        try:
            return one(value, single)
        except ValueError as error:
            raise ValueError(f"{error}, nor a list") from None

    return hook


def _is_listed_or_not(type_: Any) -> bool:
    arms = get_args(type_)
    return (
        get_origin(type_) in (Union, UnionType)
        and type(None) not in arms
        and any(get_origin(arm) is tuple for arm in arms)
    )


def _is(origin: Any) -> Callable[[Any], bool]:
    return lambda type_: get_origin(type_) is origin


def _faults(error: Exception, where: Where) -> Iterator[Fault]:
    match error:
        case BaseValidationError():
            for inner in error.exceptions:
                steps = (_step(note) for note in getattr(inner, "__notes__", ()))
                yield from _faults(inner, (*where, *steps))
        case ForbiddenExtraKeysError():
            for key in sorted(error.extra_fields):
                yield Fault((*where, key), _not_a_key(key, error.cl))
        case KeyError():
            yield Fault(where, "is required")
        case _:
            yield Fault(where, str(error))


def _step(note: str) -> str | int:
    """cattrs' notes: an attribute's name, or the index or key of an element."""
    assert isinstance(note, (AttributeValidationNote, IterableValidationNote))
    return note.name.rstrip("_") if isinstance(note, AttributeValidationNote) else note.index


def _not_a_key(key: str, class_: type) -> str:
    if key in later.KEYS.get(class_, ()):
        return later.is_not_in_this_version(key)
    known = [key_of(attribute) for attribute in attrs.fields(class_)]
    return "no such key" + (did_you_mean(key, known) or f"; known: {', '.join(known)}")
