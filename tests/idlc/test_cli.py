"""Command line: output and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import idlc
from idlc.cli import main

GOOD = "namespace py demo\nstruct User { 1: i64 id }\n"
WARNED = "namespace py demo\nenum Kind { A = 1 }\nconst Kind NONE = 2\n"
WRONG = "namespace py demo\nstruct Main { 1: Uzer user }\nstruct Uzers {}\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`idlc ARGUMENTS...` in a folder with `user.thrift`, `warned.thrift` and `wrong.thrift`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "user.thrift").write_text(GOOD)
    (tmp_path / "warned.thrift").write_text(WARNED)
    (tmp_path / "wrong.thrift").write_text(WRONG)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_compile_writes_files_and_reports_counts(run, tmp_path: Path) -> None:
    result = run("compile", "user.thrift", "-o", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "out: 3 files, 3 written, 0 unchanged\n"
    assert (tmp_path / "out/demo/user.py").is_file()
    assert run("compile", "user.thrift", "-o", "out").stdout == "out: 3 files, 0 written, 3 unchanged\n"


def test_compile_is_the_default_command(run, tmp_path: Path) -> None:
    assert run("user.thrift").stdout == "gen: 3 files, 3 written, 0 unchanged\n"
    assert run("-o", "other", "user.thrift").exit_code == 0
    assert (tmp_path / "other/demo/user.py").is_file()


def test_quiet_prints_findings_only(run) -> None:
    result = run("-q", "warned.thrift")
    assert result.stdout == ""
    assert "warning[constant.enum.number]" in result.stderr


def test_folders_are_searched(run, tmp_path: Path) -> None:
    (tmp_path / "idl/deep").mkdir(parents=True)
    (tmp_path / "idl/a.idl").write_text("struct A {}")
    (tmp_path / "idl/deep/b.thrift").write_text("struct B {}")
    assert run("idl").exit_code == 0
    assert (tmp_path / "gen/a/a.py").is_file()
    assert (tmp_path / "gen/b/b.py").is_file()


def test_includes_are_searched_in_the_folders_given_in_their_order(run, tmp_path: Path) -> None:
    for folder in ("one", "two", "main"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one/dep.thrift").write_text("struct One {}")
    (tmp_path / "two/dep.thrift").write_text("struct Two {}")
    (tmp_path / "main/m.thrift").write_text("include 'dep.thrift'")
    run("main/m.thrift", "-I", "two", "-I", "one")
    assert "class Two" in (tmp_path / "gen/dep/dep.py").read_text()
    run("main/m.thrift", "-I", "one", "-I", "two")
    assert "class One" in (tmp_path / "gen/dep/dep.py").read_text()


def test_errors_in_the_idl_exit_with_1(run, tmp_path: Path) -> None:
    result = run("wrong.thrift")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "wrong.thrift:2:" in result.stderr
    assert "did you mean" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "gen").exists()


def test_warnings_exit_with_0(run) -> None:
    result = run("warned.thrift")
    assert result.exit_code == 0
    assert "warning[constant.enum.number]" in result.stderr


def test_warnings_are_printed_again_if_the_output_is_up_to_date(run) -> None:
    first, second = run("warned.thrift"), run("warned.thrift")
    assert second.stdout == "gen: 3 files, 0 written, 3 unchanged\n"
    assert second.stderr == first.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.thrift"], "no such file or folder: 'nothing.thrift'"),
        (["empty"], "no .idl or .thrift files in 'empty'"),
        (["user.thrift", "-o", "user.thrift"], "user.thrift"),
        (["user.thrift", "--package", "not-a-name"], "--package 'not-a-name': must be a dotted Python name"),
        (["user.thrift", "--package", "a..b"], "--package 'a..b': must be a dotted Python name"),
        (["user.thrift", "--package", "a.class"], "--package 'a.class': must be a dotted Python name"),
        (["user.thrift", "--target", "perl"], "no target named 'perl'"),
        (["user.thrift", "--templates", "nowhere"], "nowhere"),
        (["user.thrift", "--error-format", "fancy"], "fancy"),
        (["user.thrift", "--nonsense"], "--nonsense"),
        (["compile"], "FILES"),
    ],
)
def test_usage_errors_exit_with_2(run, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Usage:" in result.stderr
    assert not (tmp_path / "gen").exists()


def test_an_unwritable_output_is_an_error_without_a_traceback(run, tmp_path: Path) -> None:
    (tmp_path / "gen").mkdir()
    (tmp_path / "gen/demo").write_text("a file where a folder should be")
    result = run("user.thrift")
    assert result.exit_code == 1
    assert "cannot write 'gen/demo" in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_check_fails_until_the_output_is_up_to_date(run, tmp_path: Path) -> None:
    result = run("user.thrift", "--check")
    assert result.exit_code == 1
    assert "out of date: gen/demo/user.py" in result.stderr
    assert "gen: 3 of 3 files are out of date; compile again without --check" in result.stderr
    assert not (tmp_path / "gen").exists()
    run("user.thrift")
    assert run("user.thrift", "--check").exit_code == 0
    (tmp_path / "user.thrift").write_text(GOOD.replace("User", "Person"))
    assert run("user.thrift", "--check").exit_code == 1
    assert "class User" in (tmp_path / "gen/demo/user.py").read_text()


def test_no_includes_skips_included_files(run, tmp_path: Path) -> None:
    assert run("warned.thrift", "--no-includes").exit_code == 0
    assert not (tmp_path / "gen/demo/user.py").exists()


def test_output_can_be_nested_in_a_package(run, tmp_path: Path) -> None:
    run("user.thrift", "--package", "my.rpc")
    assert (tmp_path / "gen/my/rpc/demo/user.py").is_file()


def test_the_cache_can_be_disabled(run, tmp_path: Path) -> None:
    run("user.thrift", "--no-cache")
    assert not list(tmp_path.glob("cache/uptodate/*"))
    run("user.thrift")
    assert len(list(tmp_path.glob("cache/uptodate/*"))) == 1


def test_short_findings_are_one_line_each(run) -> None:
    (line,) = run("wrong.thrift", "--error-format", "short").stderr.splitlines()
    assert line.startswith("wrong.thrift:2:18: error")


def test_colors_depend_on_terminal_environment_and_option(run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in run("wrong.thrift").stderr
    assert "\x1b[" in run("wrong.thrift", "--color", "always").stderr
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run("wrong.thrift").stderr
    assert "\x1b[" not in run("wrong.thrift", "--color", "never").stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("wrong.thrift").stderr


def test_negative_ids_are_kept_if_requested(run, tmp_path: Path) -> None:
    (tmp_path / "neg.thrift").write_text("struct S { -5: i32 x }")
    assert run("neg.thrift", "--allow-neg-keys").exit_code == 0
    assert "rpc.optional(-5," in (tmp_path / "gen/neg/neg.py").read_text()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfes\x00",
        b"struct \xff {}",
        b"\x00",
        b"struct S {" * 200,
        b"(" * 3000,
        b'const string S = "',
        b"/*",
        b"\xef\xbb\xbf",
    ],
    ids=["utf-16", "latin-1", "zero", "unclosed", "parentheses", "string", "comment", "mark"],
)
def test_no_input_gives_a_traceback(run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.thrift").write_bytes(data)
    result = run("bad.thrift")
    assert result.exit_code in (0, 1)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert (result.exit_code == 1) == ("error" in result.stderr)


def test_help_and_version(run) -> None:
    for arguments in (["--help"], ["-h"], ["compile", "--help"], ["compile", "-h"]):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "Usage:" in result.stdout
    assert run("--version").stdout == f"idlc, version {idlc.__version__}\n"


def test_without_arguments_the_help_is_shown(run) -> None:
    result = run()
    assert "Usage:" in result.output
    assert "compile" in result.output


def test_every_option_has_a_help_text() -> None:
    for command in main.commands.values():
        assert command.help
        assert command.get_short_help_str()
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
                assert parameter.help.endswith((".", ")", ",", "!")) or parameter.help[-1].isalnum()


def test_help_names_every_option(run) -> None:
    for name, command in main.commands.items():
        text = run(name, "--help").stdout
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in text


def test_the_module_runs_as_the_command(run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "idlc", "user.thrift", "-o", "out"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "IDLC_CACHE_DIR": "cache"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "out: 3 files, 3 written, 0 unchanged\n", "")


def test_arguments_come_from_a_file(run, tmp_path: Path) -> None:
    (tmp_path / "args").write_text("user.thrift  # the model\n-o 'out of file'\n")
    assert run("compile", "@args").stdout == "out of file: 3 files, 3 written, 0 unchanged\n"
    assert run("@args", "-q").stdout == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read arguments from 'args': no such file or directory; a file of that name is './@args'"),
        ("'open", "cannot read arguments from 'args': no closing quotation"),
    ],
)
def test_a_file_of_arguments_that_cannot_be_read(run, tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "args").write_text(text)
    result = run("compile", "@args")
    assert result.exit_code == 2
    assert message in result.stderr


def test_standard_input(run, tmp_path: Path) -> None:
    text = "namespace py demo\ninclude 'user.thrift'\nstruct Main { 1: user.User user }\n"
    result = CliRunner().invoke(main, ["compile", "-", "--stdin-filename", "main.thrift"], input=text)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (tmp_path / "gen/demo/main.py").is_file()
    assert not (tmp_path / "main.thrift").exists()
    result = CliRunner().invoke(main, ["compile", "-"], input="struct {")
    assert result.exit_code == 1
    assert " --> stdin.thrift:1:8\n" in result.stderr


def test_outputs_and_inputs_for_build_tools(run, tmp_path: Path) -> None:
    (tmp_path / "a b.thrift").write_text("namespace py demo\n")
    listed = run("user.thrift", "a b.thrift", "--list-outputs").stdout
    assert listed == "gen/demo/__init__.py\ngen/demo/a_b.py\ngen/demo/py.typed\ngen/demo/user.py\n"
    assert not (tmp_path / "gen").exists()
    for _ in range(2):  # written, and up to date
        run("user.thrift", "a b.thrift", "--depfile", "deps/out.d")
        outputs, inputs = (tmp_path / "deps/out.d").read_text().rstrip("\n").split(": ")
        assert outputs.split() == listed.split()
        assert inputs == f"{tmp_path}/a\\ b.thrift {tmp_path}/user.thrift"


def test_check_with_a_diff(run, tmp_path: Path) -> None:
    run("user.thrift")
    (tmp_path / "user.thrift").write_text(GOOD.replace("1: i64 id", "1: i64 id, 2: string name"))
    result = run("user.thrift", "--check", "--diff")
    assert result.exit_code == 1
    assert "+++ gen/demo/user.py (generated)\n" in result.stdout
    assert "+    name: str | None = None\n" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--diff",), "--diff needs --check"),
        (("--check", "--list-outputs"), "--list-outputs and --check exclude each other"),
        (("--list-outputs", "--error-format", "json"), "both print to standard output; use one of them"),
        (("--check", "--diff", "--error-format", "sarif"), "--diff and --error-format sarif both print"),
        (("x" * 300,), "file name too long"),
    ],
)
def test_options_that_contradict_each_other(run, arguments: tuple[str, ...], message: str) -> None:
    result = run("compile", "user.thrift", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_hidden_folders_are_not_searched(run, tmp_path: Path) -> None:
    (tmp_path / "idl/.venv").mkdir(parents=True)
    (tmp_path / "idl/.venv/a.thrift").write_text("struct {")
    (tmp_path / "idl/b.thrift").write_text("namespace py demo")
    assert run("idl").exit_code == 0


def test_a_baseline_that_is_gone_is_an_error_with_a_cache_too(run) -> None:
    assert run("user.thrift").exit_code == 0
    result = run("user.thrift", "--baseline", "gone.json")
    assert result.exit_code == 2
    assert "gone.json" in result.stderr
