"""Which country an address is in, from a file in MaxMind's format that the operator gives.

https://maxmind.github.io/MaxMind-DB/. All of the file is read, so it may be replaced at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from os import PathLike
from typing import Any, Final

import maxminddb

from twistproxy.policy.conditions.client import number_of

#: Addresses that are remembered.
KEPT: Final = 4096
#: Networks in which at least one has a country, in a file that has them.
_SAMPLE: Final = 100


class Countries:
    """Asked with an address' text: the ISO code of its country, None where unknown.

    built: when the file was made, seconds since 1970. Raises ValueError where the file can't be
    read, is of another format, or has no countries.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        try:
            reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
            has_some = any(_code(record) for _, record in islice(reader, _SAMPLE))
        except OSError as why:
            raise ValueError(f"it can't be read: {why.strerror or why}") from None
        except Exception:
            # In a broken file the reader comes upon anything.
            raise ValueError("it is no whole file in MaxMind's format") from None
        if not has_some:
            kind = reader.metadata().database_type
            raise ValueError(f"it is a database of {kind!r} and has no countries")
        self.built = int(reader.metadata().build_epoch)
        self._known: Callable[[str], str | None] = lru_cache(KEPT)(partial(_country, reader))

    def __call__(self, address: str) -> str | None:
        return self._known(address)


def _country(reader: Any, address: str) -> str | None:
    version, number = number_of(address)
    if not version:
        return None
    try:
        return _code(reader.get(IPv4Address(number) if version == 4 else IPv6Address(number)))
    except Exception:
        return None  # IPv6 in a file for IPv4, or a broken file: unknown as any other


def _code(record: Any) -> str | None:
    """In the records of MaxMind and DB-IP, and the flat ones of IPinfo."""
    if not isinstance(record, dict):
        return None
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else None
    for text in (code, record.get("country_code"), country):
        if isinstance(text, str) and len(text) == 2:
            return text.upper()
    return None
