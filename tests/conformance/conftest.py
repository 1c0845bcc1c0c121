"""Certificates for TLS."""

from __future__ import annotations

from pathlib import Path

import pytest


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
