"""The table's parts, in the order of the page."""

from __future__ import annotations

from types import ModuleType

from attrs import frozen
from rfc9111 import (
    age,
    fields,
    freshness,
    heuristics,
    invalidation,
    keys,
    ranges,
    requests,
    staleness,
    storing,
    targeted,
    telling,
    updating,
    validation,
    variants,
)
from rfc9111.table import Row


@frozen
class Subject:
    """Rows about one thing. name: of its file. title: what the file says it is about."""

    name: str
    title: str
    rows: tuple[Row, ...]

    @classmethod
    def of(cls, module: ModuleType) -> Subject:
        title = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        return cls(module.__name__.rpartition(".")[2], title, tuple(module.ROWS))


SUBJECTS = [
    Subject.of(module)
    for module in (
        storing,
        fields,
        freshness,
        heuristics,
        age,
        keys,
        variants,
        requests,
        validation,
        updating,
        staleness,
        invalidation,
        ranges,
        targeted,
        telling,
    )
]
