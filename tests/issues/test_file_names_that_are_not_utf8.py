"""Files and folders with names that are not UTF-8 compile like others, and messages can show them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere"),
]

FILES = {
    b"a\xff.thrift": "struct A { 1: i32 x }",
    b"told\xff.thrift": "service Foo {} service foo {}\nunion U { 1: required i32 x }",
    b"bad\xff.thrift": "struct U { 1: Nope x }",
    b"d\xfe/inner.thrift": "struct I { 1: i32 x }",
    b"d\xfe/b\xfd.thrift": "struct B { 1: i32 x }",
    b"including.thrift": "include 'inner.thrift'\nstruct A { 1: inner.I x }",
    b"good.thrift": "struct A { 1: i32 x }",
    b"ring\n.thrift": "struct A { 1: Nope x }",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def idlc(folder: Path, *arguments: bytes, **environment: str) -> tuple[int, str]:
    """Run the command; its exit code and what it printed, which is UTF-8 whatever happens."""
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"idlc", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "IDLC_CACHE_DIR": str(folder / "cache"),
            "PYTHONIOENCODING": "utf-8:strict",
            **environment,
        },
        capture_output=True,
        check=False,
    )
    text = (done.stdout + done.stderr).decode("utf-8")
    assert "Traceback" not in text, text
    return done.returncode, text


@pytest.mark.parametrize(
    "arguments",
    [
        (b"a\xff.thrift",),
        (b"d\xfe",),
        (b"d\xfe/inner.thrift", b"d\xfe/b\xfd.thrift"),
        (b"including.thrift", b"-I", b"d\xfe"),
        (b"good.thrift", b"--templates", b"d\xfe"),
        (b"good.thrift", b"-o", b"out\xff"),
    ],
)
def test_they_compile_and_are_up_to_date_then(folder: Path, arguments: tuple[bytes, ...]) -> None:
    code, text = idlc(folder, *arguments, b"--check")
    assert (code, "are out of date; compile again without --check" in text) == (1, True)
    code, text = idlc(folder, *arguments)
    assert (code, text.endswith(" 0 unchanged\n")) == (0, True), text
    for check in ((), (b"--check",), (b"--no-cache",)):
        code, text = idlc(folder, *arguments, *check)
        assert (code, " 0 written, " in text) == (0, True), text


def test_a_working_directory_of_such_a_name(folder: Path) -> None:
    for _ in range(2):
        assert idlc(folder / os.fsdecode(b"d\xfe"), b"inner.thrift")[0] == 0


def test_a_cache_folder_of_such_a_name(folder: Path) -> None:
    cache = os.fsdecode(bytes(folder) + b"/cache\xff")
    assert idlc(folder, b"good.thrift", IDLC_CACHE_DIR=cache)[0] == 0
    assert idlc(folder, b"good.thrift", IDLC_CACHE_DIR=cache)[1].startswith("gen: 3 files, 0 written")
    assert "cache\\xff" in idlc(folder, b"doctor", IDLC_CACHE_DIR=cache)[1]


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_findings_in_them_are_shown_again(folder: Path, locale: dict[str, str]) -> None:
    code, first = idlc(folder, b"told\xff.thrift", b"--error-format", b"short", **locale)
    assert code == 0
    assert "told\\xff.thrift:1:9: note: " in first
    assert "told\\xff.thrift:2:14: warning: " in first
    again = first.replace("3 written, 0", "0 written, 3")
    assert idlc(folder, b"told\xff.thrift", b"--error-format", b"short", **locale) == (0, again)
    assert " --> told\\xff.thrift:1:9\n" in idlc(folder, b"told\xff.thrift", **locale)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"bad\xff.thrift", b"--error-format", b"short"), "bad\\xff.thrift:1:15: error: type `Nope` is not declared"),
        ((b"ring\n.thrift", b"--error-format", b"short"), "ring\\n.thrift:1:15: error: type `Nope` is not declared"),
        ((b"none\xff.thrift",), "no such file or folder: 'none\\xff.thrift'\n"),
        ((b"good.thrift", b"-o", b"a\xff.thrift/b"), "cannot write 'a\\xff.thrift/b"),
        ((b"good.thrift", b"--package", b"x\xff"), "--package 'x\\xff': must be a dotted Python name\n"),
    ],
)
def test_errors_name_them(folder: Path, arguments: tuple[bytes, ...], message: str) -> None:
    code, text = idlc(folder, *arguments)
    assert code in (1, 2)
    assert message in text
