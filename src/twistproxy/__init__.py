"""twistproxy: a forward and a reverse proxy in one Twisted reactor.

The map of the house is docs/architecture.rst; each room's ``__init__`` is its own.
"""

__version__ = "0.1.0"
