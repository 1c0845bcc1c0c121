"""Churn in the embedded registry: instances of many services register, deregister and are killed (see `churn`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from churn import TIMEOUT, churn, services
from registry_process import registry_process


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT)
def test_nothing_is_lost_and_nothing_stays(tmp_path: Path) -> None:
    with registry_process(tmp_path / "registry.db") as process:
        churn(lambda session: f"{process.url}?timeout={session}", services(200), process.pid)
