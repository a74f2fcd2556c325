"""The fields of one head or trailer section (RFC 9110 §5).

Order, case and repetition are kept, since a proxy must not change what it does not
understand; look-ups go by the lower-case name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

#: A field line: its name in lower case, its name and its value as written, and all of it as it
#: goes on the wire, CRLF included (RFC 9112 §5). Made once, it can be in any number of sections.
Line = tuple[bytes, bytes, bytes, bytes]


def line(name: bytes, value: bytes) -> Line:
    """The line of a name and a value."""
    return name.lower(), name, value, b"%b: %b\r\n" % (name, value)


class Fields:
    """Field lines in the order they came.

    Names given to methods are lower case, except where a line is added: there the name is
    sent as it is written.
    """

    __slots__ = ("_combined", "_lines")

    def __init__(self, lines: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._lines: list[Line] = [line(name, value) for name, value in lines] if lines else []
        #: By name; None: not asked for yet. Most sections are made to be sent.
        self._combined: dict[bytes, bytes] | None = None

    @classmethod
    def of(cls, lines: list[Line]) -> Fields:
        """The section of these lines; the list is its own from now on."""
        new = cls()
        new._lines = lines
        return new

    def add(self, name: bytes, value: bytes) -> None:
        """Append one line, also where the name is there already."""
        self.append(line(name, value))

    def append(self, *lines: Line) -> None:
        """`add` for lines that are there already."""
        self._lines.extend(lines)
        combined = self._combined
        if combined is not None:
            for key, _, value, _ in lines:
                combined[key] = combined[key] + b", " + value if key in combined else value

    def set(self, name: bytes, value: bytes) -> None:
        """Make this the only line of its name, in the place of the first, else at the end."""
        new = line(name, value)
        lines, key = self._lines, new[0]
        places = [place for place, line in enumerate(lines) if line[0] == key]
        if not places:
            lines.append(new)
        else:
            lines[places[0]] = new
            for place in reversed(places[1:]):
                del lines[place]
        if self._combined is not None:
            self._combined[key] = value

    def remove(self, *names: bytes) -> None:
        """Take out every line of these names."""
        lines = [line for line in self._lines if line[0] not in names]
        if len(lines) < len(self._lines):
            self._lines = lines
            self._combined = None

    def without(self, names: Container[bytes]) -> Fields:
        """A copy that lacks the lines of these names."""
        return Fields.of([line for line in self._lines if line[0] not in names])

    def copy(self) -> Fields:
        """An independent copy."""
        return Fields.of(self._lines.copy())

    @property
    def combined(self) -> Mapping[bytes, bytes]:
        """By name in lower case: the values that `get` gives. Not to be kept."""
        return self._index() if self._combined is None else self._combined

    def _index(self) -> dict[bytes, bytes]:
        lines = self._lines
        self._combined = combined = {line[0]: line[2] for line in lines}
        if len(combined) < len(lines):
            combined.clear()
            for key, _, value, _ in lines:
                combined[key] = combined[key] + b", " + value if key in combined else value
        return combined

    def get(self, name: bytes) -> bytes | None:
        """The combined value, lines joined by ``, `` (RFC 9110 §5.3); None if absent.

        Never for Set-Cookie, whose lines can't be joined: see `all`.
        """
        combined = self._combined
        if combined is None:
            combined = self._index()
        return combined.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """The value of each line of that name, in order."""
        return [line[2] for line in self._lines if line[0] == name]

    def tokens(self, name: bytes) -> list[bytes]:
        """The elements of a comma-separated list of tokens, in lower case, empty ones left out."""
        value = self.get(name)
        if value is None:
            return []
        return [token for part in value.lower().split(b",") if (token := part.strip(b" \t"))]

    def encode(self) -> bytes:
        """The field lines as they go on the wire, each ended by CRLF (RFC 9112 §5)."""
        return b"".join([line[3] for line in self._lines])

    def __contains__(self, name: object) -> bool:
        return name in self.combined

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter([line[1:3] for line in self._lines])

    def __len__(self) -> int:
        return len(self._lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self._lines == other._lines

    def __repr__(self) -> str:
        # Names only: values may be credentials.
        return f"<Fields {', '.join(line[1].decode('latin-1') for line in self._lines)}>"
