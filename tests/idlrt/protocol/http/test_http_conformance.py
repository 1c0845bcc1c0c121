"""HTTP passes the conformance suite for protocols."""

from __future__ import annotations

from typing import Any

import pytest

from idlrt.protocol.http import HttpProtocol
from idlrt.protocol.http.options import Http
from idlrt.testing import check_protocol


@pytest.mark.parametrize(
    ("server", "client"),
    [
        (Http(), {}),
        (Http(prefix="/a/b"), {"prefix": "/a/b", "authority": "shop.example:8080"}),
        (Http(i64_as_text=False, enums_as_numbers=True, gzip=0), {"prefix": ""}),
    ],
    ids=["defaults", "prefix", "numbers"],
)
def test_conformance(server: Http, client: dict[str, Any]) -> None:
    check_protocol(HttpProtocol(server), client)
