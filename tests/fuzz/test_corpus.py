"""Every input that the fuzzers begin with or have found, once, without a fuzzer."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
TARGETS = [
    "client",
    "client_http",
    "decode_binary",
    "decode_compact",
    "decode_json",
    "detection",
    "propagation",
    "server_framed",
    "server_header",
    "server_http",
    "server_jsonrpc",
    "server_unframed",
]


def test_the_corpus_has_inputs_for_every_target():
    assert sorted(path.name for path in (FOLDER / "corpus").iterdir()) == TARGETS
    assert all(len(list((FOLDER / "corpus" / name).iterdir())) >= 20 for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_of_the_fuzzers(name):
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    target = importlib.import_module(name)
    inputs = [*target.seeds(), *(path.read_bytes() for path in sorted((FOLDER / "corpus" / name).iterdir()))]
    good = sum(bool(target.check(data)) for data in inputs)

    # Inputs that cannot be decoded test little.
    assert good * 5 > len(inputs)
