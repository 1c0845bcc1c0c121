"""Churn in ZooKeeper: instances of many services register, deregister and are killed (see `churn`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from churn import TIMEOUT, churn, services
from zookeeper_server import running_zookeeper


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT)
def test_nothing_is_lost_and_nothing_stays(tmp_path: Path) -> None:
    with running_zookeeper(tmp_path / "server") as server:
        churn(lambda session: f"zookeeper://{server.address}?timeout={session}", services(40), 0)
