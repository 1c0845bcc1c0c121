"""The registry in a real etcd: all that every kind has to do, with one member and with three."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from etcd_server import Cluster, etcd_cluster

from idlrt.registry import Registry
from idlrt.testing.registry import REGISTRY_CHECKS, Make

# With three members, what may depend on which one answers.
KEY_CHECKS = [
    "registered_is_found",
    "subscribers_hear_of_changes",
    "closing_deregisters",
    "operators_change_instances",
    "changes_since_a_revision",
    "many_at_once",
]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd"), 3) as cluster:
        yield cluster


def connect(cluster: Cluster, prefix: str = "", options: str = "") -> Registry:
    return Registry.connect(f"{cluster.url}/{prefix}{options}", cache=False, empty_protection=False)


@pytest.mark.parametrize("check", REGISTRY_CHECKS.values(), ids=REGISTRY_CHECKS.keys())
def test_conformance(one: Cluster, check: Callable[[Make], None]) -> None:
    prefix = uuid.uuid4().hex
    check(lambda: connect(one, prefix))


@pytest.mark.parametrize("name", KEY_CHECKS)
def test_conformance_of_three_members(three: Cluster, name: str) -> None:
    prefix = f"a/{uuid.uuid4().hex}"
    REGISTRY_CHECKS[name](lambda: connect(three, prefix))
