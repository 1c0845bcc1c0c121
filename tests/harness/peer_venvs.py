"""Virtual environments for peers in Python whose packages the tests' own environment must not have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from cached_parts import cached_part
from programs import not_run

__all__ = ["peer_python"]

_BUILD_S: Final = 240


def peer_python(name: str, *requirements: str) -> str:
    """Return the path of Python in an environment with packages from PyPI, which is built once.

    The test is skipped, or fails with IDLC_TEST_EVERYTHING, if it cannot be built. Start its programs with `-I`, so
    that they do not import from the tests.

    Args:
        name: name of the environment; has to change with the requirements.
        requirements: packages, with the versions that the tests are for.
    """

    def build(folder: Path) -> None:
        _run(name, [sys.executable, "-m", "venv", str(folder)])
        install = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-input"]
        _run(name, [*install, "--disable-pip-version-check", *requirements])

    version = "{}.{}".format(*sys.version_info[:2])
    # Python finds its packages by its own path; the paths in other programs of the folder are outdated.
    return str(cached_part(f"{name}-python{version}", build) / "bin" / "python")


def _run(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_S, check=False)
    except subprocess.TimeoutExpired:
        not_run(f"NOT RUN: cannot build {name}: pip took more than {_BUILD_S} s")
    if done.returncode:
        output = " ".join((done.stdout + done.stderr).split())
        not_run(f"NOT RUN: cannot build {name}: {output[-300:]}")
