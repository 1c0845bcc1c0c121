"""Churn in etcd: instances of many services register, deregister and are killed (see `churn`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from churn import TIMEOUT, churn, services
from etcd_server import etcd_cluster


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT)
def test_nothing_is_lost_and_nothing_stays(tmp_path: Path) -> None:
    with etcd_cluster(tmp_path) as cluster:
        churn(lambda session: f"{cluster.url}?ttl={session}", services(40), 0)
