"""Any text results in a report; never in a traceback or an infinite loop."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutated_idl import SEED, WORDS, mutated, mutations

from idlc.checks import enums, fields, includes, names, run_checks, services
from idlc.diagnostics import Report, render, render_short, summary
from idlc.model import build
from idlc.source import Loader

MODULES = [enums, fields, includes, names, services]
MAIN, SHARED = Path("/survives/main.thrift"), Path("/survives/shared.thrift")

SHARED_SEED = "struct Money { 1: i64 cents, 2: string currency = 'EUR' }\nservice Health { bool ok() }\n"


def survives(text: str, shared: str = SHARED_SEED) -> Report:
    report = Report()
    loader = Loader(overlay={MAIN: text, SHARED: shared})
    for allow in (False, True):
        programs = build([MAIN], loader, report, allow_negative_ids=allow)
        run_checks(programs, report, MODULES)
    render(report)
    render(report, color=True)
    render_short(report)
    summary(report)
    return report


def test_the_seed_has_no_errors() -> None:
    report = survives(SEED.replace('include "main.thrift" as self\n', ""))
    assert [diagnostic.message for diagnostic in report if diagnostic.severity == "error"] == []


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutations)
def test_mutated_files(steps: list[tuple[str, int, int, str]]) -> None:
    survives(mutated(SEED, steps))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(SEED)))
def test_truncated_files(length: int) -> None:
    survives(SEED[:length])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60), st.sampled_from(["", " ", "\n"]))
def test_random_sequences_of_words(words: list[str], glue: str) -> None:
    survives(glue.join(words))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    survives(text, text)


def test_any_bytes(tmp_path: Path) -> None:
    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=200))
    def inner(data: bytes) -> None:
        (tmp_path / "a.thrift").write_bytes(data)
        report = Report()
        run_checks(build([tmp_path / "a.thrift"], Loader(), report), report, MODULES)
        render(report)

    inner()
