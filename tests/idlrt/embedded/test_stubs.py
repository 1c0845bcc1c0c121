"""The stubs of our own services, the embedded registry and the collector, are up to date with their IDL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[3] / "runtime"


@pytest.mark.parametrize("idl", ["idlrt/embedded/registry.idl", "idlrt/collector/collector.idl"])
def test_stubs_are_up_to_date(idl: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "idlc", "compile", idl, "-o", ".", "--check", "--no-cache"],
        cwd=RUNTIME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run idlc compile runtime/{idl} -o runtime\n{done.stdout}{done.stderr}"
