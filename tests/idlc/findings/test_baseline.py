"""Baseline: old findings are accepted wherever their lines move, until they expire or are fixed."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

import idlc
from idlc.driver import FrontEnd, check_files
from idlc.findings import BaselineError, BaselineFilter, Policy, read_baseline, write_baseline

TEXT = "struct A {\n  1: byte a\n  2: map<double, i32> b\n  3: map<double, i32> b2\n}\n"
TYPES = Policy().with_options(["type"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "a.thrift").write_text(TEXT)
    return tmp_path


def written(folder: Path, policy: Policy = TYPES, expires: date | None = None, name: str = "a.thrift") -> Path:
    path = folder / "baseline.json"
    found = check_files(FrontEnd(paths=(folder / name,), policy=policy)).acceptable()
    write_baseline(path, found, [folder / name], expires=expires)
    return path


def names(folder: Path, baseline: Path, policy: Policy = TYPES) -> list[str]:
    return [each.name for each in idlc.check(folder / "a.thrift", policy=policy, baseline=baseline).report]


def test_findings_of_a_baseline_are_accepted_where_they_move(folder: Path) -> None:
    baseline = written(folder)
    assert names(folder, baseline) == []
    (folder / "a.thrift").write_text("\n// moved\n" + TEXT.replace("  2:", "\t2: "))
    assert names(folder, baseline) == []
    (folder / "a.thrift").write_text(TEXT.replace("}", "  4: set<double> c\n}"))
    assert names(folder, baseline) == ["type.element"]


def test_entries_are_counted(folder: Path) -> None:
    line = "  1: map<double, i32> a\n"
    (folder / "a.thrift").write_text(f"struct A {{\n{line}}}\nstruct B {{\n{line}}}\n")
    baseline = written(folder)
    assert json.loads(baseline.read_text())["findings"] == [
        {"file": "a.thrift", "name": "type.key", "text": "1: map<double, i32> a", "count": 2}
    ]
    (folder / "a.thrift").write_text(f"struct A {{\n{line}}}\nstruct B {{\n{line}}}\nstruct C {{\n{line}}}\n")
    assert names(folder, baseline) == ["type.key"]


def test_a_baseline_is_sorted_and_stable(folder: Path) -> None:
    baseline = written(folder)
    first = baseline.read_text()
    entries = [(each["file"], each["name"], each["text"]) for each in json.loads(first)["findings"]]
    assert entries == sorted(entries)
    assert written(folder).read_text() == first


def test_expired_entries_count_again_and_say_so(folder: Path) -> None:
    baseline = read_baseline(written(folder, expires=date(2030, 5, 1)))
    found = check_files(FrontEnd(paths=(folder / "a.thrift",), policy=TYPES)).acceptable()
    before = BaselineFilter(baseline, date(2030, 4, 30))
    assert [before.accept(each) for each in found] == [None] * 3
    after = BaselineFilter(baseline, date(2030, 5, 1))
    again = [after.accept(each) for each in found]
    assert [each.help for each in again if each is not None] == [
        "write `i8`; its entry in the baseline expired on 2030-05-01",
        *["its entry in the baseline expired on 2030-05-01"] * 2,
    ]


def test_entries_keep_their_dates_when_a_baseline_is_written_again(folder: Path) -> None:
    written(folder, expires=date(2030, 5, 1))
    (folder / "a.thrift").write_text(TEXT.replace("}", "  4: set<double> c\n}"))
    entries = json.loads(written(folder, expires=date(2031, 1, 1)).read_text())["findings"]
    assert {each["name"]: each["expires"] for each in entries} == {
        "type.byte": "2030-05-01",
        "type.element": "2031-01-01",
        "type.key": "2030-05-01",
    }


def test_entries_of_other_files_stay_while_the_files_exist(folder: Path) -> None:
    (folder / "b.thrift").write_text("struct B {\n  1: byte b\n}\n")
    written(folder, expires=date(2030, 5, 1))
    entries = json.loads(written(folder, name="b.thrift").read_text())["findings"]
    assert [(each["file"], each["name"], each.get("expires")) for each in entries] == [
        ("a.thrift", "type.byte", "2030-05-01"),
        ("a.thrift", "type.key", "2030-05-01"),
        ("a.thrift", "type.key", "2030-05-01"),
        ("b.thrift", "type.byte", None),
    ]
    (folder / "a.thrift").unlink()
    entries = json.loads(written(folder, name="b.thrift").read_text())["findings"]
    assert [each["file"] for each in entries] == ["b.thrift"]


def test_stale_entries_are_told(folder: Path) -> None:
    baseline = written(folder)
    (folder / "a.thrift").write_text(TEXT.replace("byte", "i8").replace("  2: map<double, i32> b\n", ""))
    (note,) = idlc.check(folder / "a.thrift", policy=TYPES, baseline=baseline).report
    assert (note.name, note.severity) == ("baseline.stale", "note")
    assert note.message == "2 findings of the baseline are gone"
    (folder / "b.thrift").write_text("struct B {}")
    assert len(idlc.check(folder / "b.thrift", policy=TYPES, baseline=baseline).report) == 0
    assert len(idlc.check(folder / "a.thrift", baseline=baseline).report) == 0, "lint is off"


def test_errors_are_not_accepted_but_warnings_that_became_errors_are(folder: Path) -> None:
    (folder / "a.thrift").write_text("struct A {\n  1: required A a\n  2: Uzer b\n}\n")
    policy = Policy(warnings_as_errors=True)
    baseline = written(folder, policy)
    assert [each["name"] for each in json.loads(baseline.read_text())["findings"]] == ["struct.endless"]
    assert names(folder, baseline, policy) == ["type.undefined"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a baseline: Expected `object`, got `array`"),
        ("{", "not a baseline: Input data was truncated"),
        ('{"version": 2, "findings": []}', "unknown version 2; this version of idlc reads version 1"),
    ],
)
def test_mistakes_in_a_baseline(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(BaselineError) as caught:
        read_baseline(tmp_path / "b.json")
    assert str(caught.value) == message
    with pytest.raises(BaselineError, match="no such file; write it with --write-baseline"):
        read_baseline(tmp_path / "nosuch.json")


def test_the_commands_write_and_read_baselines(folder: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "idlc", *arguments, "--error-format", "short"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    lint = ("lint", "a.thrift", "-W", "lint=off", "-W", "type", "--baseline", "b.json")
    code, text = run(*lint)
    assert (code, text.splitlines()[-1]) == (
        2,
        "Error: --baseline 'b.json': no such file; write it with --write-baseline",
    )
    assert run(*lint, "--write-baseline") == (0, "b.json: 3 findings\n")
    assert run(*lint) == (0, "")
    compile = ("compile", "a.thrift", "-W", "type=error", "--baseline", "b.json")
    assert run(*compile) == (0, "")
    assert run(*compile) == (0, "")
    (folder / "b.json").write_text('{"version": 1, "findings": []}')
    assert run(*compile)[0] == 1
    assert run("compile", "a.thrift", "--write-baseline")[1].splitlines()[-1] == (
        "Error: --write-baseline needs --baseline FILE"
    )
