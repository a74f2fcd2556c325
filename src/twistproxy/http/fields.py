"""The fields of one head or trailer section (RFC 9110 §5).

Order, case and repetition are kept, since a proxy must not change what it does not
understand; look-ups go by the lower-case name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator


class Fields:
    """Field lines in the order they came.

    Names given to methods are lower case, except where a line is added: there the name is
    sent as it is written.
    """

    __slots__ = ("_combined", "_lines")

    def __init__(self, lines: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._lines: list[tuple[bytes, bytes, bytes]] = []
        self._combined: dict[bytes, bytes] = {}
        for name, value in lines:
            self.add(name, value)

    def add(self, name: bytes, value: bytes) -> None:
        """Append one line, also where the name is there already."""
        key = name.lower()
        self._lines.append((key, name, value))
        combined = self._combined
        if key in combined:
            combined[key] = combined[key] + b", " + value
        else:
            combined[key] = value

    def set(self, name: bytes, value: bytes) -> None:
        """Make this the only line of its name, in the place of the first, else at the end."""
        key = name.lower()
        if key not in self._combined:
            self.add(name, value)
            return
        lines = self._lines
        place = next(i for i, line in enumerate(lines) if line[0] == key)
        lines[:] = [line for i, line in enumerate(lines) if i < place or line[0] != key]
        lines.insert(place, (key, name, value))
        self._combined[key] = value

    def remove(self, *names: bytes) -> None:
        """Take out every line of these names."""
        found = [name for name in names if self._combined.pop(name, None) is not None]
        if found:
            self._lines = [line for line in self._lines if line[0] not in found]

    def without(self, names: Container[bytes]) -> Fields:
        """A copy that lacks the lines of these names."""
        new = Fields()
        new._lines = [line for line in self._lines if line[0] not in names]
        new._combined = {k: v for k, v in self._combined.items() if k not in names}
        return new

    def copy(self) -> Fields:
        """An independent copy."""
        new = Fields()
        new._lines = self._lines.copy()
        new._combined = self._combined.copy()
        return new

    def get(self, name: bytes) -> bytes | None:
        """The combined value, lines joined by ``, `` (RFC 9110 §5.3); None if absent.

        Never for Set-Cookie, whose lines can't be joined: see `all`.
        """
        return self._combined.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """The value of each line of that name, in order."""
        if name not in self._combined:
            return []
        return [value for key, _, value in self._lines if key == name]

    def tokens(self, name: bytes) -> list[bytes]:
        """The elements of a comma-separated list of tokens, in lower case, empty ones left out."""
        value = self._combined.get(name)
        if value is None:
            return []
        return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]

    def encode(self) -> bytes:
        """The field lines as they go on the wire, each ended by CRLF (RFC 9112 §5)."""
        return b"".join([b"%b: %b\r\n" % (name, value) for _, name, value in self._lines])

    def __contains__(self, name: object) -> bool:
        return name in self._combined

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter([(name, value) for _, name, value in self._lines])

    def __len__(self) -> int:
        return len(self._lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self._lines == other._lines

    def __repr__(self) -> str:
        # Names only: values may be credentials.
        return f"<Fields {', '.join(name.decode('latin-1') for _, name, _ in self._lines)}>"
