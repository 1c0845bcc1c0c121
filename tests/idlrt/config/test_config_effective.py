"""Effective settings and their sources."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.config import Effective, Layer, effective


def holds(*layers: dict[str, Any], method: str = "") -> Effective:
    """Of layers called 0, 1, ..., from the farthest to the nearest."""
    return effective([Layer(str(number), layer) for number, layer in enumerate(layers)], method)


def test_defaults() -> None:
    found = holds()
    assert (found.policy.timeout, found.policy.fault, found.policy.retries) == (5.0, "failover", 2)
    assert found.service.routes == []
    assert found.origins == {}
    assert found.tables() == []


def test_the_most_specific_layer_wins_key_by_key() -> None:
    found = holds(
        {"timeout": 1, "retries": 1}, {"timeout": "2", "backoff.base_delay": "0.5"}, {"backoff.multiplier": 3}
    )
    assert (found.policy.timeout, found.policy.retries) == (2.0, 1)
    assert (found.policy.backoff.base_delay, found.policy.backoff.multiplier) == (0.5, 3.0)
    assert found.origins == {"timeout": "1", "retries": "0", "backoff.base_delay": "1", "backoff.multiplier": "2"}


def test_within_a_layer_settings_of_the_method_win() -> None:
    found = holds({"methods.get.timeout": 1, "timeout": 2}, method="get")
    assert found.policy.timeout == 1
    assert found.origins["timeout"] == "0, methods.get"
    assert holds({"methods.get.timeout": 1, "timeout": 2}, method="put").policy.timeout == 2
    assert holds({"methods.get.timeout": 1, "timeout": 2}).policy.timeout == 2


def test_a_more_specific_layer_overrides_settings_of_the_method() -> None:
    found = holds({"methods.get.timeout": 1}, {"timeout": 2}, method="get")
    assert found.policy.timeout == 2
    assert found.origins["timeout"] == "1"


def test_methods_with_a_common_prefix_are_distinct() -> None:
    assert holds({"methods.get.timeout": 1}, method="getAll").policy.timeout == 5
    assert holds({"methods.getAll.timeout": 1}, method="get").policy.timeout == 5


def test_routes_of_all_layers_apply_the_most_specific_first() -> None:
    far, near = {"router": "zone"}, {"router": "tag"}
    found = holds({"routes": '[{"router": "zone"}]'}, {"timeout": 1}, {"routes": [near]})
    assert found.service.routes == [near, far]
    assert found.origins["routes"] == "2; 0"
    assert holds({"routes": [far]}, {"routes": []}).service.routes == [far]


def test_settings_of_a_method_override_those_of_the_service() -> None:
    found = holds({"limiter.rate": 10, "limiter.burst": 5, "methods.get.limiter.rate": 20}, method="get")
    assert (found.section("limiter").rate, found.section("limiter").burst) == (20.0, 5)
    assert found.tables() == ["limiter"]


@pytest.mark.parametrize("off", [False, "false", "0", 0])
def test_a_more_specific_layer_disables_a_guard(off: object) -> None:
    assert holds({"limiter.rate": 10}).is_enabled("limiter")
    assert not holds({"limiter.rate": 10}, {"limiter.enabled": off}).is_enabled("limiter")
    assert not holds({"limiter.enabled": off}, {"limiter.rate": 10}).is_enabled("limiter")
    assert holds({"limiter.enabled": off}, {"limiter.enabled": "true"}).is_enabled("limiter")
    only_get = {"limiter.rate": 10, "methods.get.limiter.enabled": off}
    assert not holds(only_get, method="get").is_enabled("limiter")
    assert holds(only_get, method="put").is_enabled("limiter")


def test_the_history_in_a_registry_is_no_setting() -> None:
    found = holds({"config.version": "7", "config.history": "{}", "timeout": 1})
    assert found.tables() == []
    assert found.origins == {"timeout": "0"}


def test_null_unsets_an_optional_setting() -> None:
    found = holds({"attempt_timeout": 1}, {"attempt_timeout": None})
    assert found.policy.attempt_timeout is None
    assert holds({"attempt_timeout": 1}, {"attempt_timeout": "null"}).policy.attempt_timeout is None
