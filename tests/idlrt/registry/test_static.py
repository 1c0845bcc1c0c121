"""Static server list as a read-only registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from eventually import TIMEOUT
from registry_heard import Heard

from idlrt.core import ANY_PROTOCOL, Freshness, Instance, ServiceKey
from idlrt.errors import ConfigurationError, RegistryRefused
from idlrt.registry import Registry


def test_the_list_applies_to_every_service_and_group() -> None:
    with Registry.connect("static://a:1,b:2,[::1]:3,a:1") as registry:
        for key in (ServiceKey("demo.Users"), ServiceKey("Shop", "blue")):
            snapshot = registry.instances(key.service, key.group)
            assert [each.address for each in snapshot.instances] == ["[::1]:3", "a:1", "b:2"]
            assert {each.key for each in snapshot.instances} == {key}
            assert snapshot.freshness is Freshness.LIVE


def test_instances_have_default_attributes() -> None:
    with Registry.connect("static://a:1") as registry:
        (found,) = registry.instances("S").instances
    assert found == Instance(service="S", host="a", port=1, protocols=("framed",), rpc_protocols=ANY_PROTOCOL)


def test_subscribers_are_notified_once() -> None:
    with Registry.connect("static://a:1,b:2") as registry:
        subscription = registry.subscribe("S")
        heard = Heard(subscription)
        heard.until_ports(1, 2)
        assert len(heard.changes) == 1
        assert [each.id for each in subscription.wait(TIMEOUT).instances] == ["a:1", "b:2"]


def test_snapshots_are_not_saved(tmp_path: Path) -> None:
    with Registry.connect("static://a:1", cache=tmp_path) as registry:
        registry.subscribe("S").wait(TIMEOUT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda registry: registry.modify("S", "a:1", weight=1),
        lambda registry: registry.configure("S", {"timeout": "1"}),
        lambda registry: registry.groups(),
        lambda registry: registry.services(),
    ],
)
def test_unsupported_operations_are_refused(ask: Callable[[Registry], object]) -> None:
    with Registry.connect("static://a:1") as registry:
        assert registry.is_read_only
        with pytest.raises(
            RegistryRefused, match=r"static://a:1: a static registry only supports looking up instances"
        ):
            ask(registry)


def test_registering_is_refused() -> None:
    with (
        Registry.connect("static://a:1") as registry,
        pytest.raises(ConfigurationError, match="the registry is read-only"),
    ):
        registry.register(Instance(service="S", host="a", port=1))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("static://", "missing servers"),
        ("static://a:1,b", "missing port in 'b'; write b:9090"),
        ("static://a:1,b*:2", r"invalid id of an instance: 'b\*:2'"),
        ("static://a:1/path", r"a path \(/path\) is not supported"),
        ("static://a:1?timeout=3", "unknown option 'timeout'"),
    ],
)
def test_invalid_urls(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Registry.connect(url)
