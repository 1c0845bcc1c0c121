"""Comparing two versions: the statistics, the verdicts, and one small run."""

from __future__ import annotations

import json
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.compare.__main__ import Comparison, compared, main, noise
from benchmarks.compare.cells import CELLS, PARTS, Pair
from benchmarks.compare.intervals import median_interval
from benchmarks.compare.trees import Tree
from benchmarks.workers import ROOT, WorkerError, run_process


def test_the_interval_of_twenty_is_from_the_sixth_to_the_fifteenth() -> None:
    # As tables of order statistics have it: 95.86 %.
    found = median_interval([float(number) for number in range(20, 0, -1)])
    assert (found.low, found.median, found.high) == (6.0, 10.5, 15.0)
    assert found.confidence == pytest.approx(0.9586, abs=1e-4)


def test_a_few_values_have_a_wide_interval_with_little_confidence() -> None:
    found = median_interval([1.0, 3.0])
    assert (found.low, found.median, found.high, found.confidence) == (1.0, 2.0, 3.0, 0.5)
    alone = median_interval([2.0])
    assert (alone.low, alone.high, alone.confidence) == (2.0, 2.0, 0.0)


def test_more_confidence_makes_the_interval_wider() -> None:
    values = [float(number) for number in range(20)]
    usual, sure = median_interval(values), median_interval(values, 0.9995)
    assert sure.low < usual.low < usual.high < sure.high
    assert sure.confidence >= 0.9995


def test_the_interval_has_the_median_as_often_as_it_says() -> None:
    rng = random.Random(7)
    drawn = [[rng.expovariate(1.0) for _ in range(20)] for _ in range(2000)]
    # ln 2 is the median of this distribution.
    hits = [median_interval(values).contains(0.6931) for values in drawn]
    assert statistics.fmean(hits) == pytest.approx(0.9586, abs=0.02)


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        median_interval([])


def compare(*ratios: float) -> Comparison:
    (found,) = compared({CELLS[0]: [Pair(1.0, ratio) for ratio in ratios]})
    return found


def test_a_verdict_needs_an_interval_beside_one() -> None:
    assert compare(*[0.8 + number / 1000 for number in range(20)]).verdict == "faster"
    assert compare(*[1.2 + number / 1000 for number in range(20)]).verdict == "slower"
    assert compare(*[0.99 + number / 1000 for number in range(20)]).verdict == "same"


def test_one_outlier_does_not_make_a_verdict() -> None:
    assert compare(*[1.0] * 19, 9.0).verdict == "same"


def test_few_pairs_make_no_verdict() -> None:
    assert compare(*[2.0] * 5).verdict == "too few pairs"
    assert compare(*[2.0] * 6).verdict == "slower"


def test_a_limit_needs_enough_pairs() -> None:
    result = CliRunner().invoke(main, ["HEAD", "--pairs", "5", "--fail-above", "1.03"])
    assert result.exit_code == 2
    assert "--fail-above needs at least 6 pairs, got 5" in result.output


def test_a_version_that_differs_from_itself_tells_of_a_noisy_machine() -> None:
    assert noise([compare(*[1.0] * 20)]) == []
    (problem,) = noise([compare(*[1.07 + number / 1000 for number in range(20)])])
    assert problem == f"the machine is too noisy: A/A ratio 1.079 [1.075, 1.084] ({CELLS[0].name})"


def test_cells_have_names_of_their_own_and_are_chosen_by_part() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    for part in PARTS:
        listed = CliRunner().invoke(main, ["HEAD", part, "--list"])
        assert listed.exit_code == 0
        assert listed.output.splitlines() == [cell.name for cell in CELLS if cell.part == part]


def test_unknown_cells_are_errors() -> None:
    result = CliRunner().invoke(main, ["HEAD", "--cell", "no such cell"])
    assert result.exit_code == 2
    assert "unknown cell 'no such cell'" in result.output


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A cache of trees, which git forgets afterwards."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git repository")
    folder = tmp_path / "trees"
    yield folder
    for tree in folder.glob("[!n]*/"):  # not those of native codecs
        subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)


@pytest.mark.long
@pytest.mark.slow
def test_a_small_comparison_with_the_last_commit(tmp_path: Path, cache: Path) -> None:
    output = tmp_path / "compared.json"
    cell = "codec binary encode small"
    command = [sys.executable, "-m", "benchmarks.compare", "HEAD", "codec", "--cell", cell]
    written, _ = run_process([*command, "--pairs", "2", "--cache", str(cache), "--json", str(output)])
    assert written.count(f"| {cell} |") == 2
    found = json.loads(output.read_text())
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert found["commit"] == head.stdout.strip()
    assert (found["ref"], found["pairs"]) == ("HEAD", 2)
    for comparison in (*found["itself"], *found["cells"]):
        assert comparison["cell"] == cell
        assert comparison["verdict"] == "too few pairs"
        assert 0 < comparison["low"] <= comparison["ratio"] <= comparison["high"]
        assert min(comparison["old_seconds"], comparison["new_seconds"]) > 0
        assert len(comparison["ratios"]) == 2


def test_a_commit_that_does_not_exist_is_an_error(tmp_path: Path, cache: Path) -> None:
    result = CliRunner().invoke(main, ["no-such-commit", "--cache", str(tmp_path)])
    assert result.exit_code == 1
    assert "no-such-commit" in result.output


def test_a_worker_of_another_tree_is_an_error(tmp_path: Path) -> None:
    # The tree has no runtime, so the installed one would be measured instead.
    tree = Tree(name="other", root=tmp_path, folder=tmp_path)
    shutil.copy2(ROOT / "benchmarks" / "compare" / "worker.py", tmp_path)
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / "bench_stubs.py").touch()
    worker = tree.worker("codec", -1)
    with pytest.raises(WorkerError, match=r"idlrt is that of .*, not of "):
        worker.read_line()
    with pytest.raises(WorkerError, match="exit status 1"):
        worker.end()
