"""The windows: SSH console, JSON API and command line, all views of one `Proxy`.

In: a running proxy, seen through `Proxy`. Out: text and JSON for people and probes.
``commands`` is the one table that console, ``ssh host COMMAND``, API and CLI share.
``manhole`` (SSH) shows an ``editor`` with ``completion`` in front of a ``console``, which runs
code for a bounded ``moment``; ``keys`` says who may log in. ``api`` is the web side, ``client``
its caller. Knows nothing of HTTP proxying.
To add a command: one entry in ``commands.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from twistproxy.cache.desk.desk import Desk
    from twistproxy.lists.lists import Lists
    from twistproxy.policy.desk import Desk as PolicyDesk
    from twistproxy.policy.parked import Parked
    from twistproxy.road import Generation


class Proxy(Protocol):
    """What the windows look at. The reprs of the live objects are readable tables."""

    @property
    def generation(self) -> Generation:
        """What is in force."""

    @property
    def cache(self) -> Desk: ...
    @property
    def policy(self) -> PolicyDesk: ...
    @property
    def lists(self) -> Lists: ...
    @property
    def limits(self) -> object: ...
    @property
    def asks(self) -> Parked: ...
    @property
    def pools(self) -> object: ...
    @property
    def parents(self) -> object: ...
    @property
    def connections(self) -> object: ...

    def snapshot(self) -> dict[str, Any]:
        """All figures, as plain values that JSON can hold."""

    def reload(self) -> Deferred[list[str]]:
        """Read the configuration again. Fires with lines to tell; fails with `ReloadFailed`."""


class CommandFailed(Exception):
    """A command can't do what was asked; its text is all that the person is shown."""


class ReloadFailed(CommandFailed):
    """The configuration has errors, one a line in the text; nothing has changed."""


class WindowError(Exception):
    """A window can't be opened; its text is one line for the operator."""
