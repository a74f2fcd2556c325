"""``${NAME}`` and ``${NAME:-default}`` in the strings of a file, from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twistproxy.config.errors import Fault, Where

VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")


def expand(tree: Any, environ: Mapping[str, str]) -> tuple[Any, list[Fault]]:
    """The same tree with every string expanded, and what could not be.

    As in a shell, ``:-`` is for a variable that is unset or empty. What comes out of a variable
    is not expanded again.
    """
    faults: list[Fault] = []

    def walk(value: Any, where: Where) -> Any:
        match value:
            case str() if "${" in value:
                return VARIABLE.sub(lambda found: replace(found, where), value)
            case dict():
                return {key: walk(inner, (*where, key)) for key, inner in value.items()}
            case list():
                return [walk(inner, (*where, index)) for index, inner in enumerate(value)]
        return value

    def replace(found: re.Match[str], where: Where) -> str:
        name, default = found["name"], found["default"]
        if name is None:
            faults.append(Fault(where, '"${" begins a variable: ${NAME} or ${NAME:-default}'))
        elif default is not None:
            return environ.get(name) or default
        elif name in environ:
            return environ[name]
        else:
            faults.append(
                Fault(where, f"the variable {name} is not set; ${{{name}:-...}} gives a default")
            )
        return found[0]

    return walk(tree, ()), faults
