"""Traces that are not sampled are passed on without a parser: in C and in Python the same, and as a parser would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.observe.tracing.propagation import make_next_traceparent, parse_traceparent
from idlrt.observe.tracing.propagation.w3c import next_traceparent

TRACE, SPAN = "4f1e2d3c5b6a79880123456789abcdef", "00f0e1d2c3b4a596"
MADE = [pytest.param(next_traceparent, id="pure"), pytest.param(make_next_traceparent, id="default")]


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("flags", ["00", "02"])
def test_the_trace_and_its_flags_stay(make: Callable[[str], str], flags: str) -> None:
    made = {make(f"00-{TRACE}-{SPAN}-{flags}") for _ in range(100)}
    assert len(made) == 100
    for each in made:
        found = parse_traceparent(each)
        assert found is not None
        assert (found.trace_id, found.is_sampled, found.is_random) == (TRACE, False, flags == "02")
        assert found.span_id != SPAN
        assert each.endswith(f"-{flags}")


@pytest.mark.parametrize("make", MADE)
def test_a_new_trace(make: Callable[[str], str]) -> None:
    made = [parse_traceparent(make("")) for _ in range(100)]
    assert len({each.trace_id for each in made if each is not None}) == 100
    assert {(each.is_sampled, each.is_random) for each in made if each is not None} == {(False, True)}


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-03",
        f"00-{TRACE}-{SPAN}-04",
        f"00-{TRACE}-{SPAN}-20",
        f"01-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-00 ",
        f"00-{TRACE}-{SPAN}-0",
        f"00-{TRACE.upper()}-{SPAN}-00",
        f"00-{TRACE}-{SPAN[:-1]}g-00",
        f"00-{'0' * 32}-{SPAN}-00",
        f"00-{TRACE}-{'0' * 16}-00",
        f"00_{TRACE}-{SPAN}-00",
        f"00-{TRACE}_{SPAN}-00",
        f"00-{TRACE}-{SPAN}_00",
        f"00-{TRACE}-{SPAN}-0é",
        f"00-{'é' * 16}-{SPAN}-00",
        "é" * 55,
        "\ud800" * 55,
        "x",
    ],
)
def test_all_else_is_left_to_a_parser(make: Callable[[str], str], text: str) -> None:
    assert make(text) == ""


@given(st.text(alphabet="0123456789abcdefABCDEFg-", min_size=54, max_size=56) | st.text(max_size=60))
def test_both_accept_the_same(text: str) -> None:
    assert bool(next_traceparent(text)) == bool(make_next_traceparent(text))


@given(st.integers(0, 54), st.sampled_from("0129afgAF-_ é"))
def test_both_accept_the_same_after_a_mutation(place: int, character: str) -> None:
    text = f"00-{TRACE}-{SPAN}-00"
    mutated = text[:place] + character + text[place + 1 :]
    assert bool(next_traceparent(mutated)) == bool(make_next_traceparent(mutated))
    if next_traceparent(mutated):
        assert parse_traceparent(mutated) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_other_ids() -> None:
    program = """
import os
from idlrt.observe.tracing.propagation import make_next_traceparent
make_next_traceparent("")
reader, writer = os.pipe()
if not os.fork():
    os.write(writer, make_next_traceparent("").encode())
    os._exit(0)
os.wait()
print(os.read(reader, 55).decode() != make_next_traceparent(""))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True"
