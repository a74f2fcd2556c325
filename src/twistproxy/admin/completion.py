"""What a half-typed line may become: commands, names of the namespace, attributes.

Attributes are looked at, never called; still, a property may run code: call it `within` a moment.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"(?:(?P<owner>[^\W\d][\w.]*)\.)?(?P<start>\w*)$")


def completions(
    line: str, namespace: Mapping[str, object], commands: Iterable[str]
) -> tuple[str, list[str]]:
    """The word that the line ends in, and what it may become, sorted; [] if nothing.

    line: up to the cursor. Private names come only when the word begins with an underscore.
    """
    match = _WORD.search(line)
    if match is None:  # never: the word may be empty
        return "", []
    owner, start = match["owner"], match["start"]
    before = line[: match.start()]
    if before.endswith((".", *"0123456789")):  # `f().x`, `1.x`: nothing is known without a call
        return start, []
    if owner is not None:
        try:
            tiers = [dir(_resolve(owner, namespace))]
        except (AttributeError, LookupError):
            tiers = []
    else:
        begins = before.strip() in ("", "help")
        # What Python brings along only if nothing of ours begins so: `st` is stats, not str.
        tiers = [[*namespace, *(commands if begins else ())], [*dir(builtins), *keyword.kwlist]]
    for names in tiers:
        found = {name for name in names if _begins(name, start)}
        if found:
            return start, sorted(found)
    return start, []


def _begins(name: str, start: str) -> bool:
    return name.startswith(start) and (start.startswith("_") or not name.startswith("_"))


def _resolve(path: str, namespace: Mapping[str, object]) -> object:
    first, *rest = path.split(".")
    found = namespace[first] if first in namespace else vars(builtins)[first]
    for name in rest:
        found = getattr(found, name)
    return found
