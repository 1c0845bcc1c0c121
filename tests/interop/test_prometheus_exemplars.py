"""A real Prometheus stores the exemplars of `/metrics`, with the traces of calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service
from prometheus_server import answer, prometheus, scrape_config

from idlrt import Server, observe

pytestmark = pytest.mark.slow

BUCKETS = "rpc_server_call_duration_seconds_bucket"


def test_exemplars_are_stored(tmp_path: Path) -> None:
    with observe.trace("shop", sampler="always") as active, Server(user_service(Users()), admin=0).start() as server:
        with UserServiceClient.connect(server.address, framing="header") as client:
            client.poke(1)
        eventually(lambda: len(active.store.recent()) == 2)
        config = scrape_config(server.admin_address.removeprefix("http://"))
        with prometheus(config, tmp_path, "--enable-feature=exemplar-storage") as url:
            query = f'{BUCKETS}{{rpc_method="UserService.poke"}}'

            def stored() -> Any:
                period = {"start": str(time.time() - 3600), "end": str(time.time() + 3600)}
                return answer(url, "query_exemplars", query=query, **period)

            [series] = eventually(stored)
        [exemplar] = series["exemplars"]
    assert exemplar["labels"]["trace_id"] == active.store.recent()[0].trace_id
