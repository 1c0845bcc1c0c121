"""Fixtures of the tests of exporters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eventually import eventually
from pinpoint_calls import current_agent, exporter_to, is_connected
from pinpoint_collector import Collector, pinpoint_collector


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector, and an agent of this process that is connected to it."""
    with pinpoint_collector(tmp_path_factory.mktemp("pinpoint")) as found:
        exporter = exporter_to(found.ports)
        exporter.start()
        eventually(is_connected, "the agent is connected")
        yield found
        assert exporter.close()
        assert current_agent() is None
