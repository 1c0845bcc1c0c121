"""Compile cache: an up-to-date compile is skipped, and no other one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import idlc
from idlc import compile_cache

pytestmark = pytest.mark.slow

USER = "namespace py demo\nstruct User { 1: i64 id }\n"
MAIN = "namespace py demo\ninclude 'user.thrift'\nstruct Main { 1: user.User user }\n"
UNUSED = "namespace py demo\ninclude 'user.thrift'\nstruct Main {}\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("IDLC_CACHE_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def run(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[idlc.Compiled, bool]]:
    """Compile `main.thrift`; return the result, and whether the compile was skipped."""
    recalled: list[bool] = []
    recall = compile_cache.load

    def watched(key: str, output: Path) -> compile_cache.CachedCompile | None:
        known = recall(key, output)
        recalled.append(known is not None)
        return known

    monkeypatch.setattr(compile_cache, "load", watched)

    def compile(name: str = "main.thrift", **options: object) -> tuple[idlc.Compiled, bool]:
        request: dict[str, Any] = {"output": tmp_path / "gen", **options}
        return idlc.compile(tmp_path / name, **request), recalled[-1]

    return compile


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> None:
    (tmp_path / "user.thrift").write_text(USER)
    (tmp_path / "main.thrift").write_text(MAIN)


def test_a_second_compile_is_skipped(run, tmp_path: Path) -> None:
    first, was_skipped = run()
    assert not was_skipped
    second, was_skipped = run()
    assert was_skipped
    assert second.written == []
    assert sorted(second.unchanged) == sorted(first.written)


def test_an_edited_file_is_compiled_again(run, tmp_path: Path) -> None:
    run()
    (tmp_path / "main.thrift").write_text(MAIN + "struct More {}")
    result, was_skipped = run()
    assert not was_skipped
    assert tmp_path / "gen/demo/main.py" in result.written
    assert run()[1]


def test_an_edited_include_is_compiled_again(run, tmp_path: Path) -> None:
    run()
    (tmp_path / "user.thrift").write_text(USER + "struct More {}")
    result, was_skipped = run()
    assert not was_skipped
    assert tmp_path / "gen/demo/user.py" in result.written


def test_an_edit_that_keeps_size_and_time_is_detected(run, tmp_path: Path) -> None:
    run()
    path = tmp_path / "user.thrift"
    status = path.stat()
    path.write_text(USER.replace("User", "Uzer"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not run()[1]


def test_a_changed_time_stamp_alone_does_not_recompile(run, tmp_path: Path) -> None:
    run()
    os.utime(tmp_path / "user.thrift", ns=(1, 1))
    assert run()[1]


def test_a_file_earlier_in_the_search_path_is_found(run, tmp_path: Path) -> None:
    for folder in ("early", "late"):
        (tmp_path / folder).mkdir()
    (tmp_path / "user.thrift").rename(tmp_path / "late/user.thrift")
    dirs = (tmp_path / "early", tmp_path / "late")
    run(include_dirs=dirs)
    assert run(include_dirs=dirs)[1]
    (tmp_path / "early/user.thrift").write_text(USER + "struct Early {}")
    _, was_skipped = run(include_dirs=dirs)
    assert not was_skipped
    assert "Early" in (tmp_path / "gen/demo/user.py").read_text()


def test_a_removed_include_is_an_error_again(run, tmp_path: Path) -> None:
    run()
    (tmp_path / "user.thrift").unlink()
    result, was_skipped = run()
    assert not was_skipped
    assert result.report.has_errors


def test_a_deleted_output_is_written_again(run, tmp_path: Path) -> None:
    run()
    (tmp_path / "gen/demo/user.py").unlink()
    result, was_skipped = run()
    assert not was_skipped
    assert result.written == [tmp_path / "gen/demo/user.py"]


def test_an_edited_output_is_written_again(run, tmp_path: Path) -> None:
    run()
    (tmp_path / "gen/demo/user.py").write_text("mine")
    result, _ = run()
    assert result.written == [tmp_path / "gen/demo/user.py"]


def test_the_cache_key_includes_options(run, tmp_path: Path) -> None:
    run()
    assert not run(package="nested")[1]
    assert not run(with_includes=False)[1]
    assert not run(allow_negative_ids=True)[1]
    assert not run(output=tmp_path / "elsewhere")[1]
    assert not run(include_dirs=(tmp_path,))[1]
    assert not run("user.thrift")[1]
    assert run()[1]


def test_an_edited_template_is_compiled_again(run, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "value.py.j2").write_text("# one\n")
    run(templates=mine)
    assert run(templates=mine)[1]
    (mine / "value.py.j2").write_text("# two\n")
    assert not run(templates=mine)[1]


def test_warnings_are_shown_again(run, tmp_path: Path) -> None:
    from idlc.diagnostics import render

    (tmp_path / "main.thrift").write_text(UNUSED)
    policy = idlc.Policy().with_options(["include.unused"])
    first, _ = run(policy=policy)
    second, was_skipped = run(policy=policy)
    assert was_skipped
    assert [diagnostic.name for diagnostic in first.report] == ["include.unused"]
    assert [render(diagnostic) for diagnostic in second.report] == [render(diagnostic) for diagnostic in first.report]
    assert [fix.text for each in second.report for fix in each.fixes] == [""]
    third, was_skipped = run()
    assert (was_skipped, len(third.report)) == (False, 0)


def test_warnings_in_a_file_with_a_byte_order_mark_point_to_the_same_place(run, tmp_path: Path) -> None:
    (tmp_path / "main.thrift").write_bytes(b"\xef\xbb\xbf" + UNUSED.encode())
    first, _ = run()
    second, was_skipped = run()
    assert was_skipped
    assert [str(each.span) for each in second.report] == [str(each.span) for each in first.report]


def test_a_compile_with_errors_is_not_cached(run, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "main.thrift").write_text(MAIN + "struct {")
    assert run()[0].report.has_errors
    assert run()[0].report.has_errors
    assert not run()[1]
    assert not list(cache.glob("uptodate/*"))


def test_comparing_an_outdated_output_is_not_cached(run, cache: Path) -> None:
    run(only_compare=True)
    assert not list(cache.glob("uptodate/*"))
    result, was_skipped = run()
    assert not was_skipped
    assert result.written


def test_comparing_uses_the_cache(run) -> None:
    run()
    result, was_skipped = run(only_compare=True)
    assert was_skipped
    assert result.written == []


@pytest.mark.parametrize(
    "broken",
    [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"inputs":{"a":["a","b"]},"absent":[],"outputs":{},"findings":[]}'],
)
def test_a_corrupt_entry_is_ignored(run, cache: Path, broken: bytes) -> None:
    run()
    (entry,) = cache.glob("uptodate/*")
    entry.write_bytes(broken)
    _, was_skipped = run()
    assert not was_skipped
    assert run()[1]


def test_an_entry_with_invalid_spans_is_ignored(run, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "main.thrift").write_text(UNUSED)
    run()
    (entry,) = cache.glob("uptodate/*")
    entry.write_bytes(entry.read_bytes().replace(b'"main.thrift"', b'"other.thrift"'))
    result, _ = run()
    assert not result.report.has_errors


def test_an_unwritable_cache_folder_is_ignored(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    result, was_skipped = run()
    assert result.written
    assert not was_skipped
    assert not run()[1]


def test_no_partial_entries_are_left_in_the_cache(run, cache: Path, tmp_path: Path) -> None:
    run()
    (entry,) = cache.glob("uptodate/*")
    entry.unlink()
    (entry / "in the way").mkdir(parents=True)
    result, _ = run()
    assert not result.report.has_errors
    assert list(cache.glob("uptodate/*")) == [entry]


def test_without_the_cache_no_entries_are_written(run, cache: Path, tmp_path: Path) -> None:
    request: dict[str, Any] = {"sources": (tmp_path / "main.thrift",), "output": tmp_path / "gen", "use_cache": False}
    idlc.compile(**request)
    idlc.compile(**request)
    assert not list(cache.glob("uptodate/*"))


def test_a_namespace_shared_with_another_compile_becomes_stable(run, tmp_path: Path) -> None:
    (tmp_path / "other.thrift").write_text("namespace py demo\nstruct Other {}")
    run()
    run("other.thrift")
    run()
    assert run()[1]
    assert run("other.thrift")[1]
    assert "Other" in (tmp_path / "gen/demo/__init__.py").read_text()
    assert "Main" in (tmp_path / "gen/demo/__init__.py").read_text()


def test_names_of_another_compile_are_removed_with_its_module(run, tmp_path: Path) -> None:
    (tmp_path / "main.thrift").write_text("namespace py demo\nstruct Main {}\n")
    (tmp_path / "user.thrift").write_text(USER)
    run("user.thrift")
    run()
    package = tmp_path / "gen" / "demo" / "__init__.py"
    assert '"User"' in package.read_text()

    (tmp_path / "gen" / "demo" / "user.py").unlink()
    _, is_recalled = run()
    assert not is_recalled
    assert '"User"' not in package.read_text()
