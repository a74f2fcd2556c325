"""Where lists come from: files that are looked at, URLs that are fetched, and who reads them.

In: the configured lists. Out: a `Lookup` of each (`policy`), which stays as long as its
configuration does; what is in it is swapped. Formats and look-ups are `policy.lists`.

lists      all of them by name: at the start, over a reload, in time
held       one: its files in STATE_DIR/lists, what is in force, and what was kept back
compiler   another process reads the lines and writes a table, which is mapped here
fetch      a URL into a file

Nothing replaces a list in force but a table that was written whole and that nothing speaks
against (`policy.lists.reading.doubt`), or that an operator forces.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """A list as it is configured: a file or a URL. refresh: seconds; None: once a start."""

    @property
    def file(self) -> Path | None: ...
    @property
    def url(self) -> str | None: ...
    @property
    def format(self) -> str: ...
    @property
    def refresh(self) -> float | None: ...
