"""Certificates for TLS, and which combinations are left to `make test-all`."""

from __future__ import annotations

from pathlib import Path

import pytest
from kinds import FAST


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `authority.pem`, and `server.pem` for this machine."""
    import trustme

    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    signed = authority.issue_cert("127.0.0.1", "localhost")
    signed.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave combinations that show little more than others to `make test-all`."""
    for item in items:
        if isinstance(item, pytest.Function) and "conformance" in item.path.parts and _is_long(item):
            item.add_marker(pytest.mark.long)


def _is_long(item: pytest.Function) -> bool:
    callspec = getattr(item, "callspec", None)
    if callspec is None or "spoken" not in callspec.params:
        return False
    spoken, kind = str(callspec.params["spoken"]), str(callspec.params["kind"])
    if spoken == "framed":
        return False
    # Framed runs with every client on every kind of server; the others so on some, and with one client elsewhere.
    return kind not in FAST and callspec.params.get("client_kind", "blocking") != "blocking"
