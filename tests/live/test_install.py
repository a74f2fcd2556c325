"""twistd finds the plugin from any folder, from a wheel and from a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PARTS = ["setup.cfg", "pyproject.toml", "Makefile", "LICENSE", "src", "twisted"]


def run(*command: object, cwd: Path) -> str:
    # What PYTHONPATH shows would hide what was installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what an installation needs, so that building leaves nothing in the real one."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    clutter = shutil.ignore_patterns("*.egg-info", "__pycache__", "dropin.cache")
    for name in PARTS:
        part = CHECKOUT / name
        if part.is_dir():
            shutil.copytree(part, copy / name, ignore=clutter)
        else:
            shutil.copy(part, copy / name)
    return copy


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A fresh virtual environment that borrows the libraries of this one, not its twistproxy."""
    home = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=tmp_path)
    site = next(home.glob("lib/python*/site-packages"))
    # A path named in a path file is searched, but the path files in it are not read: neither
    # an editable twistproxy nor its plugin leaks through.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def twistd_help(environment: Path) -> str:
    twistd = "from twisted.scripts.twistd import run; run()"
    return run(environment / "bin/python", "-c", twistd, "--help", cwd=Path("/"))


def test_without_an_installation_it_is_not_found(environment: Path) -> None:
    assert "Forward and reverse proxy." not in twistd_help(environment)


def test_found_from_a_wheel(checkout: Path, environment: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ".", cwd=checkout)
    (wheel,) = tmp_path.glob("twistproxy-*.whl")
    shutil.rmtree(checkout)
    python = environment / "bin/python"
    run(*pip, "--python", python, "install", "--no-deps", wheel, cwd=tmp_path)
    assert "Forward and reverse proxy." in twistd_help(environment)
    where = run(python, "-c", "import twistproxy as it; print(it.__file__)", cwd=Path("/"))
    assert where.startswith(str(environment))


def test_found_from_a_checkout(checkout: Path, environment: Path) -> None:
    python = environment / "bin/python"
    pip = f"{sys.executable} -m pip --disable-pip-version-check --quiet --python {python}"
    options = "--no-deps --no-build-isolation"
    run("make", "venv", f"VENV={environment}", f"PIP={pip}", f"PIP_INSTALL={options}", cwd=checkout)
    assert "Forward and reverse proxy." in twistd_help(environment)
    where = run(
        environment / "bin/python",
        "-c",
        "import twistproxy as it; print(it.__file__)",
        cwd=Path("/"),
    )
    assert where.startswith(str(checkout))
