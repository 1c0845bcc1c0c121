"""Dashboards are read strictly by Grafana's own schema, which a small program in Go contains.

It is built once, and kept outside the checkout: `idlc-tests/grafcheck` in the user's cache folder, with a hash of its
sources in its name.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from programs import not_run, require_program

from idlrt.observe.dashboards import Objectives, monitoring_files

pytestmark = pytest.mark.long

SOURCES = Path(__file__).parent / "grafana"
BUILD_TIMEOUT = 600.0


def build(program: Path) -> None:
    go = require_program("go", "golang-go")
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [go, *arguments],
            cwd=SOURCES,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT,
            check=False,
        )

    done = run("mod", "download")
    if done.returncode:
        not_run(f"NOT RUN: cannot download the schema of Grafana: {done.stderr.strip()[-200:]}")
    unfinished = program.with_suffix(f".{os.getpid()}")
    done = run("build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), ".")
    assert done.returncode == 0, done.stderr
    unfinished.replace(program)


@pytest.fixture(scope="module")
def grafcheck() -> Path:
    """The program, built if necessary by one of the processes that test."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "idlc-tests" / "grafcheck"
    folder.mkdir(parents=True, exist_ok=True)
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()))
    program = folder / f"grafcheck-{hashlib.sha256(sources).hexdigest()[:16]}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            build(program)
    return program


def check(program: Path, *dashboards: Path) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, dashboards)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_schema_accepts_all_dashboards(grafcheck: Path, tmp_path: Path) -> None:
    paths: list[Path] = []
    for name, text in monitoring_files(Objectives()).items():
        if name.endswith(".json"):
            paths.append(tmp_path / Path(name).name)
            paths[-1].write_text(text)
    done = check(grafcheck, *paths)
    assert (done.returncode, done.stdout.count(": ok, ")) == (0, 4), done.stdout + done.stderr


def misspelled(dashboard: Any) -> None:
    dashboard["panels"][1]["titel"] = dashboard["panels"][1].pop("title")


def without_annotations(dashboard: Any) -> None:
    del dashboard["annotations"]


def misspelled_query(dashboard: Any) -> None:
    dashboard["panels"][1]["targets"][0]["exp"] = "up"


def misspelled_option(dashboard: Any) -> None:
    (panel,) = (each for each in dashboard["panels"] if each["id"] == 107)
    panel["fieldConfig"]["defaults"]["custom"]["lineWith"] = 1


@pytest.mark.parametrize("change", [misspelled, without_annotations, misspelled_query, misspelled_option])
def test_the_schema_rejects_what_is_wrong(grafcheck: Path, tmp_path: Path, change: Any) -> None:
    dashboard = json.loads(monitoring_files(Objectives())["grafana/dashboards/idlrt-overview.json"])
    change(dashboard)
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(dashboard))
    assert check(grafcheck, path).returncode == 1
