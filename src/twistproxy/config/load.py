"""From a file to a Config, or to every error of the file at once, each with its line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from twistproxy.config import places
from twistproxy.config.errors import ConfigError, ConfigErrors, Fault, Where, dotted
from twistproxy.config.model import Config
from twistproxy.config.references import check
from twistproxy.config.structure import structure
from twistproxy.config.variables import expand

__all__ = ["ConfigErrors", "defaults", "find", "load"]


def _search() -> tuple[Path, ...]:
    source, checkout = Path(__file__).parents[2:4]
    is_checkout = source.name == "src" and (checkout / "pyproject.toml").is_file()
    beside = (checkout / "etc" / "twistproxy.toml",) if is_checkout else ()
    return (Path("twistproxy.toml"), *beside, Path("/etc/twistproxy/twistproxy.toml"))


#: Where a file is looked for; the one beside a checkout only if this runs from its src/.
SEARCH = _search()


def find(explicit: Path | None = None) -> Path | None:
    """The file to load: ``explicit``, there or not, else the first of SEARCH. None: no file."""
    # os.path: False, not an exception, for a folder that may not be read.
    return explicit or next((path for path in SEARCH if os.path.isfile(path)), None)


def load(
    path: Path, environ: Mapping[str, str], *, balancers: Collection[str] = ("round_robin",)
) -> Config:
    """Raises ConfigErrors and nothing else. ``balancers``: the names that ``balance`` may have."""
    source, tree = read(path)
    result = _build(tree, environ, path.absolute().parent, balancers)
    if isinstance(result, Config):
        return result
    raise ConfigErrors(_placed(result, source, str(path)))


def read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """A file's text and its tables. Raises ConfigErrors."""
    file = str(path)
    try:
        source = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigErrors([ConfigError(file, None, "", f"can't be read: {reason}")]) from None
    return source, _parse(source, file)


def defaults(environ: Mapping[str, str]) -> Config:
    """What an empty file in the current folder would give."""
    result = _build({}, environ, Path.cwd(), ())
    assert isinstance(result, Config), result
    return result


def _parse(source: bytes, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(source.decode())
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        message = "not UTF-8, as TOML must be"
    except RecursionError:
        line, message = 1, "nested too deeply"
    except ValueError as error:  # TOMLDecodeError, or a number of too many digits
        message = str(error)
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
        message = message[: place.start()] if place else message
        line = int(place[1]) if place and place[1] else source.rstrip().count(b"\n") + 1
    raise ConfigErrors([ConfigError(file, line, "", message)])


def _build(
    tree: dict[str, Any], environ: Mapping[str, str], folder: Path, balancers: Collection[str]
) -> Config | list[Fault]:
    expanded, faults = expand(tree, environ)
    if "forward" not in expanded and "reverse" not in expanded:
        expanded["forward"] = {}
    # systemd gives one folder for each StateDirectory=, with colons between.
    state_dir = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    expanded.setdefault("state_dir", state_dir or "var")
    structured = structure(expanded, folder)
    if not isinstance(structured, Config):
        faults += structured
    faults += check(expanded, balancers)
    return faults or structured


def placed(file: Path | None, faults: Iterable[Fault]) -> ConfigErrors:
    """What other rooms found wrong with a file's values, each with its line. None: no file."""
    source = b"" if file is None else file.read_bytes()
    return ConfigErrors(_placed(faults, source, str(file or "the defaults")))


def _placed(faults: Iterable[Fault], source: bytes, file: str) -> list[ConfigError]:
    """In the order of the lines; without those that follow from another: a second error of one
    key, an error in what should not be there at all.
    """
    lines = places.lines(source)
    first: dict[Where, Fault] = {}
    for fault in faults:
        first.setdefault(fault.where, fault)
    causes = [
        fault
        for where, fault in first.items()
        if not any(where[:end] in first for end in range(len(where)))
    ]

    def order(fault: Fault) -> tuple[int, list[tuple[str, str | int]]]:
        # By type first: a table where a list belongs has names beside another fault's index.
        steps = [(type(step).__name__, step) for step in fault.where]
        return places.line(lines, fault.where), steps

    return [
        ConfigError(file, places.line(lines, fault.where), dotted(fault.where), fault.message)
        for fault in sorted(causes, key=order)
    ]
