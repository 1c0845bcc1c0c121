"""Any text results in a report; never in a traceback or an infinite loop."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idlc.checks import enums, fields, includes, names, run_checks, services
from idlc.diagnostics import Report, render, render_short, summary
from idlc.model import build
from idlc.source import Loader

MODULES = [enums, fields, includes, names, services]
MAIN, SHARED = Path("/survives/main.thrift"), Path("/survives/shared.thrift")

SEED = """\
/** A shop. */
include "shared.thrift"
include "main.thrift" as self
cpp_include "<x>"
namespace py shop.api (a = "b")
namespace * shop
typedef map<string, list<shared.Money>> Prices (x, y = "1")
typedef set cpp_type "c" <i64> Ids
const i32 LIMIT = 0x10
const Prices PRICES = {"a": [{"cents": 1}, {"cents": LIMIT}], 'b': []}
const list<double> RATES = [1, .5; 1e3, -1.]
enum Color { RED = 1, GREEN, BLUE = -3 } (z)
senum Words { "a", "b" }
struct Item {
  1: required i64 id (deprecated = "no")
  2: optional string name = "none\\n" // plain
  -3: Color color = Color.RED; ///< trailing
  binary & raw xsd_optional
  5: Item parent
}
union Either { 1: i32 left = 1, 2: Item right }
exception Oops { 1: string message, 2: Either either = {"left": 5} }
service Base extends shared.Health { void ping(), }
service Shop extends Base {
  /* about get */ Item get(1: i64 id = LIMIT, 2: shared.Money m) throws (1: Oops oops) (idempotent = "true");
  oneway void forget(1: Ids ids)
  async void old(i32 a, i32 b)
}
"""
SHARED_SEED = "struct Money { 1: i64 cents, 2: string currency = 'EUR' }\nservice Health { bool ok() }\n"
WORDS = [
    *[
        "{",
        "}",
        "(",
        ")",
        "<",
        ">",
        "[",
        "]",
        ",",
        ";",
        ":",
        "=",
        "&",
        "*",
        "@",
        "#",
        "//",
        "/*",
        "*/",
        "/**",
        '"',
        "'",
        "\\",
        "-",
        "+",
        ".",
        "\n",
        "\r",
        "\t",
        "\x00",
        "é",
        "“",
        "1",
        "-1",
        "0x",
        "1e3",
        "99999999999999999999",
    ],
    *[
        "struct",
        "enum",
        "union",
        "service",
        "exception",
        "typedef",
        "const",
        "include",
        "namespace",
        "extends",
        "throws",
        "oneway",
        "void",
        "list",
        "map",
        "set",
    ],
    *[
        "required",
        "optional",
        "senum",
        "async",
        "package",
        "message",
        "repeated",
        "i32",
        "string",
        "Color.RED",
        "shared.Money",
        "Item",
        "true",
    ],
]


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


mutations = st.lists(
    st.tuples(
        st.sampled_from(["cut", "delete", "insert", "replace", "repeat", "copy"]),
        st.integers(0, len(SEED)),
        st.integers(0, 40),
        st.sampled_from(WORDS),
    ),
    min_size=1,
    max_size=6,
)


def mutated(text: str, steps: list[tuple[str, int, int, str]]) -> str:
    for kind, start, length, word in steps:
        start = min(start, len(text))
        end = min(start + length, len(text))
        match kind:
            case "cut":
                text = text[:start]
            case "delete":
                text = text[:start] + text[end:]
            case "insert":
                text = text[:start] + word + text[start:]
            case "replace":
                text = text[:start] + word + text[end:]
            case "repeat":
                text = text[:start] + text[start:end] * 3 + text[end:]
            case _:
                text = text[:start] + SEED[length * 10 : length * 10 + 60] + text[start:]
    return text


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
