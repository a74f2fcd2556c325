"""Whether a piece of code leaves work for the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_cycles() -> Iterator[None]:
    """Nothing made inside is in a cycle when it ends; nothing is collected before.

    What was there before is frozen: it may become garbage meanwhile, and isn't counted.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0
    finally:
        gc.enable()
        gc.unfreeze()
