from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from idlc.diagnostics import Report
from idlc.source import SourceFile
from idlc.syntax import parse
from idlc.syntax.grammar import grammar


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    grammar.cache_clear()
    yield
    grammar.cache_clear()


def works() -> bool:
    report = Report()
    return len(parse(SourceFile(Path("a"), "struct A {}"), report).items) == 1 and not report.has_errors


def test_the_grammar_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    assert works()
    (kept,) = (tmp_path / "cache").iterdir()
    before = kept.stat().st_mtime_ns
    grammar.cache_clear()
    assert works()
    assert kept.stat().st_mtime_ns == before


def test_a_corrupt_cache_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path))
    assert works()
    (kept,) = tmp_path.iterdir()
    good = kept.read_bytes()
    for damage in (b"", good[:100], b"junk" * 100, good[: len(good) // 2]):
        kept.write_bytes(damage)
        grammar.cache_clear()
        assert works()


def test_without_a_writable_folder_there_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert works()
