"""`idlrt monitor dashboards` writes files, leaves those that are up to date, and finds outdated ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import run_idlrt

from idlrt.observe.dashboards import Objectives, monitoring_files

FILES = monitoring_files(Objectives())


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_written(tmp_path: Path) -> None:
    done = run_idlrt(["monitor", "dashboards", "--out", str(tmp_path)])
    assert files(tmp_path) == FILES
    assert done.stdout.splitlines() == [f"wrote {tmp_path / name}" for name in FILES]


def test_files_that_are_up_to_date_stay(tmp_path: Path) -> None:
    run_idlrt(["monitor", "dashboards", "--out", str(tmp_path)])
    (tmp_path / "grafana/dashboards/own.json").write_text("{}")
    changed = tmp_path / "prometheus/rules/idlrt-alerts.yml"
    changed.write_text("")
    before = {name: os.stat(tmp_path / name).st_ino for name in FILES}
    assert run_idlrt(["monitor", "dashboards", "--out", str(tmp_path)]).stdout == f"wrote {changed}\n"
    after = {name: os.stat(tmp_path / name).st_ino for name in FILES}
    assert {name for name in FILES if before[name] != after[name]} == {"prometheus/rules/idlrt-alerts.yml"}
    again = run_idlrt(["monitor", "dashboards", "--out", str(tmp_path)])
    assert again.stdout == f"{tmp_path}: {len(FILES)} files up to date\n"
    assert files(tmp_path) == {**FILES, "grafana/dashboards/own.json": "{}"}


def test_check_finds_what_is_outdated_and_writes_nothing(tmp_path: Path) -> None:
    missing = run_idlrt(["monitor", "dashboards", "--out", str(tmp_path / "none"), "--check"], code=1)
    assert f"{len(FILES)} of {len(FILES)} files out of date" in missing.stderr
    assert not (tmp_path / "none").exists()
    run_idlrt(["monitor", "dashboards", "--out", str(tmp_path)])
    run_idlrt(["monitor", "dashboards", "--out", str(tmp_path), "--check"])
    other = run_idlrt(["monitor", "dashboards", "--out", str(tmp_path), "--check", "--slo", "99"], code=1)
    assert other.stderr.splitlines()[:-1] == [
        f"out of date: {tmp_path / name}"
        for name in ("grafana/dashboards/idlrt-overview.json", "prometheus/rules/idlrt-alerts.yml")
    ]
    (tmp_path / "grafana/dashboards/idlrt-service.json").write_bytes(b"\xff")
    one = run_idlrt(["monitor", "dashboards", "--out", str(tmp_path), "--check"], code=1)
    assert f"1 of {len(FILES)} files out of date" in one.stderr
    assert files_except_broken(tmp_path) == {
        name: text for name, text in FILES.items() if not name.endswith("service.json")
    }


def files_except_broken(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "idlrt-service.json"
    }


def test_options_reach_the_files(tmp_path: Path) -> None:
    options = ["--slo", "99.5", "--latency-slo", "0.1:95", "--threshold", "workers=0.8", "--severity", "page=critical"]
    options += ["--label", "team=shop", "--runbooks", "https://wiki.example.com/rpc"]
    run_idlrt(["monitor", "dashboards", "--out", str(tmp_path), *options])
    alerts = (tmp_path / "prometheus/rules/idlrt-alerts.yml").read_text()
    for each in ("> 0.072", "> 0.8", "severity: critical", "team: shop", "https://wiki.example.com/rpc#rpcqueueslow"):
        assert each in alerts
    assert 'le=\\"0.1\\"' in (tmp_path / "prometheus/rules/idlrt-recording.yml").read_text()
    overview = json.loads((tmp_path / "grafana/dashboards/idlrt-overview.json").read_text())
    assert "95 % of the calls take at most 0.1 s" in json.dumps(overview)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--slo", "high"], "SLO: must be a number, got 'high'"),
        (["--slo", "100"], "SLO: must be between 50 and 99.9999 percent, got 100"),
        (["--latency-slo", "0.3"], "latency SLO: expected SECONDS:PERCENT, such as 0.3:99, got '0.3'"),
        (["--threshold", "workers"], "invalid --threshold 'workers': expected NAME=VALUE"),
        (["--threshold", "workers=x"], "threshold workers: must be a number, got 'x'"),
        (["--severity", "page"], "invalid --severity 'page': expected NAME=VALUE"),
        (["--label", "a-b=c"], "label 'a-b': its name must consist of"),
    ],
)
def test_invalid_options_are_errors(tmp_path: Path, options: list[str], message: str) -> None:
    done = run_idlrt(["monitor", "dashboards", "--out", str(tmp_path), *options], code=2)
    assert done.stderr.startswith(f"idlrt: {message}")
    assert files(tmp_path) == {}


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "grafana").write_text("")
    done = run_idlrt(["monitor", "dashboards", "--out", str(tmp_path)], code=2)
    assert "grafana/dashboards/idlrt-overview.json: Not a directory" in done.stderr


def test_files_can_be_read_by_other_users(tmp_path: Path) -> None:
    run_idlrt(["monitor", "dashboards", "--out", str(tmp_path)])
    plain = tmp_path / "plain"
    plain.touch()
    assert {(tmp_path / name).stat().st_mode for name in FILES} == {plain.stat().st_mode}
