"""The samples run, from compile to calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


@pytest.mark.slow
def test_the_shop_is_compiled_served_and_called(tmp_path: Path) -> None:
    folder = shutil.copytree(SAMPLES / "shop", tmp_path / "shop", ignore=shutil.ignore_patterns("gen", "__pycache__"))
    done = subprocess.run(
        [sys.executable, "demo.py"],
        cwd=folder,
        env={**os.environ, "IDLC_CACHE_DIR": str(tmp_path / "cache"), "IDLRT_CACHE_DIR": str(tmp_path / "idlrt")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "gen: 6 files, 6 written, 0 unchanged",
        "is_healthy() -> True",
        "get('T-9') raised UnknownArticle: sku='T-9', similar=['T-1', 'T-2']",
        "order(...) -> 2190 PLACED - paid by card",
        "find(id) -> paid by card 4000 1234",
        "order(...) again raised OutOfStock: sku='T-1', left=1",
        "counters() -> {'viewed:T-1': 1}",
        "three get() at once -> ['Green tea', 'Black tea', 'The Book of Tea']",
        "order(empty basket) raised InvalidRequest: message='the basket is empty', fields=['lines']",
        "the first call is answered: Green tea",
        "it ended with exit code 0",
        "gen: 6 files, 0 written, 6 unchanged",
    ):
        assert line in done.stdout.splitlines()
    answered = re.search(r"^([1-9][0-9]+) calls were answered, 0 failed$", done.stdout, re.M)
    assert answered is not None, done.stdout
    # The collector has all calls of the customers that the instance that is left has answered, and some of the other's.
    collected = [int(each.replace(",", "")) for each in re.findall(r" ShopService.get +([0-9,]+) ", done.stdout)]
    assert max(collected) <= int(answered.group(1)) + 10
    assert sum(collected) > 0.5 * int(answered.group(1)), done.stdout
