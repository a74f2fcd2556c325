"""What is printed, and saved as JSON."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.machine import LOAD_CORES, PROXY_CORES, Missing, program
from bench.measure import Outcome, Settings, Target
from bench.peers import Peer
from twistproxy.tables import table

#: Figures by name: their heading, and how many digits follow the point.
FIGURES = {
    "cpu_us": ("CPU µs", 1),
    "cpu_s_per_gb": ("CPU s/GB", 3),
    "per_s": ("per s", 0),
    "gb_per_s": ("GB/s", 2),
    "p50_ms": ("p50 ms", 2),
    "p99_ms": ("p99 ms", 2),
    "max_ms": ("max ms", 2),
    "busy": ("core", 2),
    "memory_mb": ("MB", 1),
    "kb_each": ("KB each", 2),
    "connections": ("connections", 0),
    "pause_ms": ("longest pause ms", 2),
    "collections": ("collections", 0),
    "objects": ("objects", 0),
    "start_s": ("s", 2),
}
LEGEND = """\
CPU: of the proxy's whole process tree, per good answer (or per GB of bodies); core: how much of
its core it used; MB: memory of the tree (PSS); ours: twistproxy's figure in the first column as a
multiple of this one. Medians of the rounds."""


def shown(figure: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.{FIGURES[figure][1]}f}"


def row_text(outcome: Outcome) -> str:
    """The row as a table, then what it had to reach."""
    row, medians = outcome.row, outcome.medians
    first = row.figures[0]
    ours = medians.get(row.ours, {}).get(first)
    lines = []
    for name in row.subjects:
        if name not in medians:
            continue
        theirs = medians[name].get(first)
        ratio = f"{ours / theirs:.2f}" if ours and theirs else "-"
        cells = [shown(figure, medians[name].get(figure)) for figure in row.figures]
        lines.append([name, cells[0], ratio, *cells[1:]])
    heads = [FIGURES[figure][0] for figure in row.figures]
    parts = [f"{row.title}  [{row.name}]"]
    if lines:
        parts.append(table(["", heads[0], "ours", *heads[1:]], lines))
    parts += [f"  {name}: not measured: {why}" for name, why in outcome.failures.items()]
    parts += [f"  {verdict(target, outcome)}" for target in row.targets]
    return "\n".join(parts) + "\n"


def wanted(target: Target) -> str:
    times = f" × {target.peer}" if target.peer else ""
    return f"{FIGURES[target.figure][0]} {'≥' if target.at_least else '≤'} {target.limit:g}{times}"


def verdict(target: Target, outcome: Outcome) -> str:
    value = target.value(outcome.row.ours, outcome.medians)
    if value is None:
        return f"not measured  {wanted(target)}"
    mark = "reached    " if target.reached(value) else "NOT REACHED"
    return f"{mark}  {wanted(target)}: {value:.2f}"


def summary_text(outcomes: Iterable[Outcome]) -> str:
    """How many targets are reached, and those that are not."""
    judged = [
        (outcome, target, value)
        for outcome in outcomes
        for target in outcome.row.targets
        if (value := target.value(outcome.row.ours, outcome.medians)) is not None
    ]
    missed = [(o, t) for o, t, value in judged if not t.reached(value)]
    lines = [f"{len(judged) - len(missed)} of {len(judged)} targets reached"]
    lines += [f"  [{o.row.name}] {verdict(t, o)}" for o, t in missed]
    return "\n".join(lines)


def as_json(
    outcomes: Sequence[Outcome], settings: Settings, versions: Mapping[str, str]
) -> dict[str, Any]:
    """All of it, each round's samples included."""
    return {
        "machine": machine(),
        "versions": dict(versions),
        "settings": vars(settings),
        "rows": [
            {
                "name": outcome.row.name,
                "title": outcome.row.title,
                "figures": list(outcome.row.figures),
                "medians": outcome.medians,
                "samples": outcome.samples,
                "failures": outcome.failures,
                "targets": [_target(target, outcome) for target in outcome.row.targets],
            }
            for outcome in outcomes
        ],
    }


def _target(target: Target, outcome: Outcome) -> dict[str, Any]:
    value = target.value(outcome.row.ours, outcome.medians)
    reached = None if value is None else target.reached(value)
    return {"target": wanted(target), "limit": target.limit, "value": value, "reached": reached}


def machine() -> dict[str, str]:
    with open("/proc/cpuinfo") as file:
        models = {line.partition(":")[2].strip() for line in file if line.startswith("model name")}
    return {
        "processor": ", ".join(sorted(models)) or platform.processor(),
        "cores": f"{os.cpu_count()}: proxies on {sorted(PROXY_CORES)}, "
        f"load and origin on {sorted(LOAD_CORES)}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def versions(peers: Iterable[Peer]) -> dict[str, str]:
    """The first line with a digit that each program says of itself."""
    found = {}
    for peer in peers:
        try:
            command = [program(peer.version[0]), *peer.version[1:]]
        except Missing:
            continue
        said = subprocess.run(command, capture_output=True, text=True)
        lines = (said.stdout + said.stderr).splitlines()
        found[peer.name] = next((line for line in lines if any(map(str.isdigit, line))), "")
    return found
