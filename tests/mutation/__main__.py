"""Put bugs in on purpose, one after the other, and see that a test fails on each.

    python tests/mutation [PART OF A NAME...]

Works on a copy of the checkout in a temporary folder. The tests have to pass on the copy as it is first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
# Seconds. A mutant may hang: then pytest-timeout ends the test, which counts as a failure.
TIMEOUT = 120


def copy(folder: Path) -> None:
    """Copy what git knows and what was built for it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    built = [path.relative_to(ROOT) for path in (ROOT / "runtime").rglob("*.so")]
    for name in [*filter(None, listed.split("\0")), *map(str, built)]:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def run_tests(folder: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run tests of the copy until the first fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "runtime")])}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-o", f"timeout={TIMEOUT}", *tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def first_failure(output: str) -> str:
    """Return the id of the test that failed, or nothing."""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    return found[1] if found else ""


def survives(mutant: Mutant, folder: Path) -> bool:
    """Put the bug in, run the tests, take it out."""
    path = folder / mutant.path
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.before) == 1, f"{mutant.path} has not one {mutant.before!r}"
    path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
    try:
        done = run_tests(folder, mutant.tests)
    finally:
        path.write_text(text, encoding="utf-8")
    failed = first_failure(done.stdout)
    if done.returncode == 1 and failed:
        print(f"caught    {mutant.name}\n          {failed}", flush=True)
        return False
    print(f"SURVIVED  {mutant.name} (pytest exit code {done.returncode})\n{done.stdout[-800:]}", flush=True)
    return True


def main(names: Sequence[str]) -> int:
    """Try the mutants whose names contain one of `names`, or all."""
    chosen = [each for each in MUTANTS if not names or any(name in each.name for name in names)]
    with tempfile.TemporaryDirectory(prefix="idlc-mutants") as place:
        folder = Path(place)
        copy(folder)
        tests = sorted({test for each in chosen for test in each.tests})
        print(f"{len(chosen)} mutants; first the tests without a bug ...", flush=True)
        done = run_tests(folder, tests)
        if done.returncode != 0:
            print(f"the tests fail without a bug:\n{done.stdout[-2000:]}", file=sys.stderr)
            return 2
        survivors = [each for each in chosen if survives(each, folder)]
    print(f"{len(chosen)} mutants, {len(chosen) - len(survivors)} caught, {len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
