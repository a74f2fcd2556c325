"""``python -m bench``: run the rows, print them, save them."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import click

from bench import certificate, picture, report
from bench.machine import LOAD_CORES, many_files
from bench.measure import Settings, run
from bench.origin import Origin
from bench.peers import peers
from bench.rows import ROWS

#: Of ourselves, one for each row.
OURS = ("twistproxy", "twistproxy on disk", "twistproxy watched")
SMOKE = Settings(seconds=1.0, rounds=1, scale=0.01, smoke=True)


def _chosen(names: str, among: list[str]) -> list[str]:
    """Those that a comma-separated list of names or patterns means."""
    wanted = names.split(",")
    for name in wanted:
        if not any(fnmatch(one, name) for one in among):
            raise click.UsageError(f"no {name!r} among {', '.join(among)}")
    return [one for one in among if any(fnmatch(one, name) for name in wanted)]


@click.command()
@click.option("--rows", default="*", help="Names or patterns of rows, with commas between.")
@click.option("--peers", "who", default="*", help="Names or patterns of those to measure.")
@click.option("--seconds", default=4.0, show_default=True, help="Of each measurement.")
@click.option("--rounds", default=3, show_default=True, help="Measurements of each.")
@click.option("--smoke", is_flag=True, help="Only that all of it runs: no peers, small numbers.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Save all of it there.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Save a picture there.")
@click.option("--list", "only_list", is_flag=True, help="Name the rows and their subjects.")
def main(
    rows: str,
    who: str,
    seconds: float,
    rounds: int,
    smoke: bool,
    json_file: Path | None,
    svg_file: Path | None,
    only_list: bool,
) -> None:
    """Measure twistproxy beside other proxies. Exit status 1 if a run of its own was invalid."""
    everyone = peers()
    names = _chosen(rows, [row.name for row in ROWS])
    chosen = _chosen(",".join(OURS) if smoke else who, list(everyone))
    settings = SMOKE if smoke else Settings(seconds, rounds)
    if only_list:
        for row in ROWS:
            click.echo(f"{row.name:12} {row.title}: {', '.join(row.subjects)}")
        return
    many_files()
    # Ended from outside, too, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, LOAD_CORES)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        # Peers that give up root must still reach their folders in it.
        folder.chmod(0o755)
        pair = certificate.make(folder)
        with closing(Origin(folder / "origin")) as origin:
            for row in ROWS:
                if row.name in names:
                    taking_part = [everyone[one] for one in row.subjects if one in chosen]
                    outcome = run(row, taking_part, origin.port, pair, folder, settings)
                    click.echo(report.row_text(outcome))
                    outcomes.append(outcome)
    click.echo(report.LEGEND + "\n")
    click.echo(report.summary_text(outcomes))
    if json_file:
        versions = report.versions(everyone[one] for one in chosen)
        found = report.as_json(outcomes, settings, versions)
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    if svg_file:
        svg_file.write_text(picture.svg(outcomes))
    sys.exit(any(outcome.row.ours in outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    main(prog_name="python -m bench")
