"""Formatting never changes the syntax tree or the owner of a doc comment, and formatting twice is formatting once."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from formatted_idl import format_text, formatted
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mutated_idl import SEED, mutated, mutations

from idlc.diagnostics import Report
from idlc.source import SourceFile
from idlc.syntax import parse

WORD = re.compile(r"""\s+|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|//[^\n]*|/\*[\s\S]*?\*/|[\w.+-]+|.""")
NAMES = st.sampled_from(["a", "bb", "list", "required", "struct", "a_name_that_is_rather_long", "x.Y"])
SEPARATORS = st.sampled_from(["", "", ",", ";"])
GAPS = st.sampled_from([" ", " ", "\n", "\n\n\n", "\t", " // c\n", " /* c */ ", "\n/* c\n  d */\n", "\r\n", "# c\n"])
DOCS = st.sampled_from(["\n/** d */\n", " /** d */ ", "\n/// d\n/// e\n", " /// d\n", "\n/**\n * d\n *   e\n */\n"])
WIDTHS = st.sampled_from([20, 40, 100])


def listed(opener: str, elements: st.SearchStrategy[list[str]], closer: str) -> st.SearchStrategy[list[str]]:
    """Elements in brackets, each followed by a separator or by none."""
    followed = st.tuples(elements, SEPARATORS).map(lambda pair: [*pair[0], *([pair[1]] if pair[1] else [])])
    return st.lists(followed, max_size=4).map(lambda lists: [opener, *chain(*lists), closer])


def row(*parts: str | st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    """Tokens of all parts in a row."""
    strategies = [st.just([part]) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map(lambda lists: list(chain(*lists)))


def maybe(part: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    return st.one_of(st.just([]), part)


name = NAMES.map(lambda each: [each])
text = st.sampled_from(['"t"', "'a \\' b'", '"a rather long text"']).map(lambda each: [each])
number = st.sampled_from(["1", "-0x1F", "+7", "123456789"]).map(lambda each: [each])
notes = maybe(listed("(", row(name, maybe(row("=", text))), ")"))
base = st.sampled_from(["i32", "string", "x.Y"]).map(lambda each: [each])
type_ = st.recursive(
    row(base, notes),
    lambda inner: st.one_of(
        row("list", "<", inner, ">", notes),
        row("map", "cpp_type", text, "<", inner, ",", inner, ">"),
        row("set", "<", inner, ">", "cpp_type", text),
    ),
    max_leaves=3,
)
value = st.recursive(
    st.one_of(number, text, st.sampled_from(["1.5", "true", "x.Y"]).map(lambda each: [each])),
    lambda inner: st.one_of(listed("[", inner, "]"), listed("{", row(inner, ":", inner), "}")),
    max_leaves=6,
)
field = row(
    maybe(row(number, ":")),
    st.sampled_from([[], ["required"], ["optional"]]),
    type_,
    maybe(st.just(["&"])),
    name,
    maybe(row("=", value)),
    st.sampled_from([[], ["xsd_optional"], ["xsd_attrs", "{", "1", ":", "i32", "a", "}"]]),
    notes,
)
function = row(
    st.sampled_from([[], ["oneway"]]),
    st.one_of(st.just(["void"]), type_),
    name,
    listed("(", field, ")"),
    maybe(row("throws", listed("(", field, ")"))),
    notes,
)
item = st.one_of(
    row("include", text, maybe(row("as", name))),
    row("namespace", st.sampled_from([["*"], ["py"]]), name, notes),
    row("typedef", type_, name, notes),
    row("const", type_, name, "=", value, notes),
    row("enum", name, listed("{", row(name, maybe(row("=", number)), notes), "}"), notes),
    row("senum", name, listed("{", text, "}")),
    row(st.sampled_from([["struct"], ["union"]]), name, listed("{", field, "}"), notes),
    row("service", name, maybe(row("extends", name)), listed("{", function, "}"), notes),
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Text of a file without syntax errors, with white space and comments between any two tokens."""
    tokens: list[str] = []
    for each in draw(st.lists(item, max_size=3)):
        tokens += [*each, draw(SEPARATORS), "\n"]
    gaps = draw(st.dictionaries(st.integers(0, max(0, len(tokens) - 1)), GAPS, max_size=8))
    docs = draw(st.dictionaries(st.integers(0, max(0, len(tokens) - 1)), DOCS, max_size=2))
    return "".join(f"{gaps.get(index, ' ')}{docs.get(index, '')}{token}" for index, token in enumerate(tokens))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files(), WIDTHS)
def test_generated_files(text: str, width: int) -> None:
    assume(not has_errors(text))  # keywords as names can look like an unclosed bracket
    formatted(text, width=width)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), GAPS | DOCS | st.just(" ///< f\n")), max_size=4), WIDTHS)
def test_comments_anywhere(insertions: list[tuple[int, str]], width: int) -> None:
    tokens = WORD.findall(SEED)
    for position, text in insertions:
        tokens.insert(position % (len(tokens) + 1), text)
    result = "".join(tokens)
    assume(not has_errors(result))
    formatted(result, width=width)


@settings(max_examples=80, deadline=None)
@given(mutations, WIDTHS)
def test_mutated_files(steps: list[tuple[str, int, int, str]], width: int) -> None:
    text = mutated(SEED, steps)
    result, report = format_text(text, width=width)
    assert report.has_errors == has_errors(text)
    assert format_text(result, width=width)[0] == result


def has_errors(text: str) -> bool:
    report = Report()
    parse(SourceFile(Path("/test.thrift"), text), report)
    return report.has_errors
