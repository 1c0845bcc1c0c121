"""The stubs of the collector are up to date with its IDL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUNTIME = Path(__file__).parents[3] / "runtime"


def test_stubs_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "idlc", "compile", "idlrt/collector/collector.idl", "-o", ".", "--check", "--no-cache"],
        cwd=RUNTIME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"run idlc compile runtime/idlrt/collector/collector.idl -o runtime\n{done.stdout}{done.stderr}"
    )
