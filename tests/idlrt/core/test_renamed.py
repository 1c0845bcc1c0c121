"""The table of renamed keys, and the warnings about old names."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from idlc.model.renamed_keys import RENAMED_KEYS
from idlc.model.renamed_keys import current_key as current_key_of_the_compiler
from idlrt.config.describe import describe
from idlrt.core.renamed import KEYS, current_key, first_key, renamed_in, warn_renamed

# All keys of version 0.1, from its `idlrt config keys`. Never edit this file.
FIRST = (Path(__file__).parents[1] / "config" / "keys_0_1.txt").read_text(encoding="utf-8").split()
CURRENT = [key.name for key in describe()]
# Keys that later versions have added.
ADDED = ["sampling.rules", "sampling.sampler"]
KEPT = [key for key in CURRENT if key not in ADDED]


def test_all_keys_of_the_first_version_have_a_current_name() -> None:
    assert len(FIRST) == 106
    assert [current_key(key) for key in FIRST] == KEPT
    assert set(ADDED) <= set(CURRENT)


def test_all_current_keys_have_the_name_of_the_first_version() -> None:
    assert [first_key(key) for key in KEPT] == FIRST
    assert [first_key(key) for key in ADDED] == ADDED


def test_no_old_name_is_a_current_one() -> None:
    assert not KEYS.keys() & set(CURRENT)
    assert len(set(KEYS.values())) == len(KEYS), "each current name has one old name"


def test_keys_of_methods_are_renamed_too() -> None:
    assert current_key("methods.get.breaker.errors") == "methods.get.breaker.failure_ratio"
    assert first_key("methods.get.breaker.failure_ratio") == "methods.get.breaker.errors"
    for key in ("timeout", "methods.get.timeout", "methods", "methods.", "methods.get", "", "breaker.error", "errors"):
        assert current_key(key) == first_key(key) == key


def test_a_method_may_be_called_like_a_key() -> None:
    assert current_key("methods.panic.timeout") == "methods.panic.timeout"
    assert current_key("methods.breaker.errors") == "methods.breaker.errors", "key `errors` of the method `breaker`"


def test_the_compiler_has_the_same_table() -> None:
    assert RENAMED_KEYS == KEYS
    assert current_key_of_the_compiler("breaker.errors") == "breaker.failure_ratio"
    assert current_key_of_the_compiler("timeout") == "timeout"


def test_old_names_in_a_mapping() -> None:
    keys = ["timeout", "breaker.errors", "methods.get.hedge.attempts", "breaker.failure_ratio"]
    assert renamed_in(keys) == {
        "breaker.errors": "breaker.failure_ratio",
        "methods.get.hedge.attempts": "methods.get.hedge.max_attempts",
    }


def test_a_warning_names_both_keys_and_the_place_and_the_file_of_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match="panic") as caught:
        warn_renamed(["timeout", "panic"], "client.toml: defaults.")
    (found,) = caught
    assert str(found.message) == "client.toml: defaults.panic is deprecated: use panic_threshold"
    assert found.filename == __file__


def test_current_names_cause_no_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_renamed(CURRENT, "")
    assert caught == []
