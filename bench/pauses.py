"""Question: how long does each garbage collection stop everything? ``pauses.py FILE ARGUMENT...``

Is twistd with those arguments; each collection becomes a line ``GENERATION SECONDS`` of FILE.
"""

from __future__ import annotations

import gc
import sys
import time

from twisted.scripts.twistd import run


def watch(path: str) -> None:
    # Unbuffered, and open to the end of the process.
    file = open(path, "ab", buffering=0)  # noqa: SIM115
    begun = 0.0

    def note(phase: str, info: dict[str, int]) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.perf_counter()
        else:
            file.write(b"%d %.6f\n" % (info["generation"], time.perf_counter() - begun))

    gc.callbacks.append(note)


if __name__ == "__main__":
    watch(sys.argv.pop(1))
    sys.exit(run())
