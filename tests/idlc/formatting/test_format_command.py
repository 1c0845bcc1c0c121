"""Command `idlc format`: output, files, exit codes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from idlc.cli import main
from idlc.config import FormatConfig

UNTIDY, TIDY = "struct  A{1:i32 a,}", "struct A {\n  1: i32 a,\n}\n"
WRONG = "struct  W{1: }\nstruct  B{}\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`idlc format ARGUMENTS...` in a folder with three files in `idl` and `wrong.thrift`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "idl/deep").mkdir(parents=True)
    (tmp_path / "idl/a.thrift").write_text(UNTIDY)
    (tmp_path / "idl/b.idl").write_text(TIDY)
    (tmp_path / "idl/deep/c.thrift").write_text(UNTIDY)
    (tmp_path / "wrong.thrift").write_text(WRONG)

    def run(*arguments: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, ["format", *arguments], input=input)

    return run


def test_one_file_is_printed(run, tmp_path: Path) -> None:
    result = run("idl/a.thrift")
    assert (result.exit_code, result.stdout, result.stderr) == (0, TIDY, "")
    assert (tmp_path / "idl/a.thrift").read_text() == UNTIDY


def test_check_names_files_and_exits_with_1(run) -> None:
    result = run("idl", "--check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "not formatted: idl/a.thrift\nnot formatted: idl/deep/c.thrift\n"
        "2 of 3 files are not formatted; run `idlc format --write`\n"
    )
    result = run("idl/b.idl", "--check")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "OK (1 file)\n", "")
    assert run("idl/b.idl", "--check", "-q").stdout == ""


def test_diff_prints_changes_without_writing(run, tmp_path: Path) -> None:
    result = run("idl", "--diff")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "--- idl/a.thrift\n+++ idl/a.thrift\n@@ -1 +1,3 @@\n-struct  A{1:i32 a,}\n\\ No newline at end of file\n"
        "+struct A {\n+  1: i32 a,\n+}\n"
    )
    assert "idl/b.idl" not in result.stdout
    assert (tmp_path / "idl/a.thrift").read_text() == UNTIDY
    assert run("idl", "--diff", "--check").exit_code == 1


def test_git_applies_a_diff(run, tmp_path: Path) -> None:
    diff = run("idl", "--diff").stdout
    subprocess.run(["git", "apply", "-p0", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    assert run("idl", "--check").exit_code == 0


def test_write_replaces_only_files_that_change(run, tmp_path: Path) -> None:
    before = (tmp_path / "idl/b.idl").stat()
    result = run("idl", "--write")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "formatted: idl/a.thrift\nformatted: idl/deep/c.thrift\n3 files, 2 formatted, 1 unchanged\n"
    )
    assert (tmp_path / "idl/a.thrift").read_text() == TIDY
    after = (tmp_path / "idl/b.idl").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert run("idl", "-w", "-q").stdout == ""


def test_write_keeps_permissions_links_marks_and_line_ends(run, tmp_path: Path) -> None:
    target = tmp_path / "target.thrift"
    target.write_bytes(b"\xef\xbb\xbfstruct  A{}\r\n\r\n\r\nstruct  B{}\r\n")
    target.chmod(0o666)
    (tmp_path / "link.thrift").symlink_to("target.thrift")
    mask = os.umask(0o077)
    try:
        assert run("link.thrift", "-w").exit_code == 0
    finally:
        os.umask(mask)
    assert (tmp_path / "link.thrift").is_symlink()
    assert target.read_bytes() == b"\xef\xbb\xbfstruct A {}\r\n\r\nstruct B {}\r\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o666


def test_a_file_given_twice_is_formatted_once(run) -> None:
    assert run("idl", "idl/a.thrift", "idl/deep/../a.thrift", "-w").stdout.endswith(
        "3 files, 2 formatted, 1 unchanged\n"
    )


def test_standard_input(run) -> None:
    result = run("-", input=UNTIDY)
    assert (result.exit_code, result.stdout, result.stderr) == (0, TIDY, "")
    assert run("-", "--check", input=TIDY).stdout == "OK (1 file)\n"
    result = run("-", "--check", "--stdin-filename", "idl/x.thrift", input=UNTIDY)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (1, "not formatted: idl/x.thrift")
    assert run("-", "--diff", input=UNTIDY).stdout.startswith("--- <stdin>\n+++ <stdin>\n")
    assert run("-", input=b"struct  A{}\r\n").stdout_bytes == b"struct A {}\r\n"


def test_files_with_errors_are_formatted_around_the_error(run, tmp_path: Path) -> None:
    result = run("wrong.thrift", "idl/a.thrift", "-w", "--error-format", "short")
    assert result.exit_code == 1
    assert result.stderr == "wrong.thrift:1:14: error: expected a type, found `}` [syntax.unexpected]\n"
    assert (tmp_path / "wrong.thrift").read_text() == "struct  W{1: }\nstruct B {}\n"
    assert (tmp_path / "idl/a.thrift").read_text() == TIDY
    result = run("wrong.thrift", "--check")
    assert result.exit_code == 1
    assert "error[syntax.unexpected]" in result.stderr


def test_files_that_cannot_be_read_are_errors(run, tmp_path: Path) -> None:
    (tmp_path / "latin.thrift").write_bytes(b"// caf\xe9\nstruct A {}\n")
    result = run("latin.thrift", "idl", "-w")
    assert result.exit_code == 1
    assert "cannot read `latin.thrift`: byte 0xe9 is not UTF-8" in result.stderr
    assert (tmp_path / "idl/a.thrift").read_text() == TIDY
    result = run("-", input=b"\xff")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot read `<stdin>`: byte 0xff is not UTF-8" in result.stderr


def test_the_width_is_an_option(run) -> None:
    text = 'const list<string> L = ["aaaaaaaaa", "bbbbbbbb"]\n'
    assert run("-", input=text).stdout == text
    assert run("-", "--width", "30", input=text).stdout == (
        'const list<string> L = [\n  "aaaaaaaaa",\n  "bbbbbbbb",\n]\n'
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "FILES"),
        (["nothing.thrift"], "no such file or folder: 'nothing.thrift'"),
        (["empty"], "no .idl or .thrift files in 'empty'"),
        (["idl"], "cannot print 3 files; add --write, --check or --diff"),
        (["idl", "--write", "--check"], "--write and --check exclude each other"),
        (["-", "idl"], "`-` must be the only input"),
        (["-", "--write"], "--write needs files; without it, formatted standard input is printed"),
        (["idl", "--stdin-filename", "x"], "--stdin-filename needs the input `-`"),
        (["idl", "--width", "19"], "19 is not in the range x>=20"),
    ],
)
def test_usage_errors_exit_with_2(run, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_files_that_cannot_be_written_are_errors(run, tmp_path: Path) -> None:
    command = f"ulimit -f 0; exec {sys.executable} -m idlc format idl -w"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "Error: cannot write 'idl/a.thrift': file too large\n")
    assert sorted(path.name for path in (tmp_path / "idl").iterdir()) == ["a.thrift", "b.idl", "deep"]
    assert (tmp_path / "idl/a.thrift").read_text() == UNTIDY


def test_as_a_process(run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "idlc", "format", "-"]
    done = subprocess.run(command, input=UNTIDY.encode(), capture_output=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, TIDY.encode(), b"")


def test_the_width_of_the_command_is_that_of_the_formatter() -> None:
    from idlc.cli.format import command
    from idlc.formatting import DEFAULT_WIDTH, MIN_WIDTH

    width = next(option for option in command.params if option.name == "width")
    assert FormatConfig().width == DEFAULT_WIDTH
    assert getattr(width.type, "min") == MIN_WIDTH  # noqa: B009  # click's types do not say so


def test_a_project_is_formatted_in_its_width(run, tmp_path: Path) -> None:
    (tmp_path / "idl").mkdir(exist_ok=True)
    for path in tmp_path.rglob("*.thrift"):
        path.unlink()
    (tmp_path / "idl/long.thrift").write_text("const list<i64> NUMBERS = [1000000, 2000000, 3000000, 4000000]\n")
    (tmp_path / "idlc.toml").write_text('roots = ["idl"]\n[format]\nwidth = 40\n')
    assert "not formatted: idl/long.thrift" in run("--check").stderr
    assert run("--check", "--width", "100").exit_code == 0
    assert run("-w").exit_code == 0
    assert len((tmp_path / "idl/long.thrift").read_text().splitlines()) > 1
    (tmp_path / "idlc.toml").unlink()
    result = run("--check")
    assert result.exit_code == 2
    assert "no idlc.toml" in result.stderr
