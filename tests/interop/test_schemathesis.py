"""Servers do what their OpenAPI documents say: schemathesis sends requests that match them, and others that do not.

All of its default checks are on. The configuration has two exceptions: servers refuse NUL in text outside of JSON, and
a handler may refuse valid requests by rules that its IDL does not have.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiled_idl import importable
from library_service import library_server
from programs import not_run

from idlrt import Http, Server

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SHOP = HERE.parents[1] / "samples" / "shop"
CONFIGURATION = """
[generation]
allow-x00 = false

[[operations]]
include-name = "POST /ShopService/order"
checks.positive_data_acceptance.enabled = false
"""


@pytest.fixture(autouse=True)
def _needs_schemathesis() -> None:
    if importlib.util.find_spec("schemathesis") is None:
        not_run("NOT RUN: schemathesis not found; pip install --group real")


def check(server: Server, folder: Path) -> None:
    """Run schemathesis against a server."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    url = f"http://127.0.0.1:{server.port}/_idl/openapi.json"
    program = Path(sys.executable).with_name("schemathesis")
    command = [str(program), "--no-color", "run", "--seed", "1", "--max-examples", "25", url]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Stateful" in done.stdout


@pytest.mark.parametrize("http", [Http(openapi=True), Http(openapi=True, i64_as_text=True, enums_as_numbers=True)])
def test_the_library(tmp_path: Path, http: Http) -> None:
    with library_server(tmp_path / "gen", http=http) as server:
        check(server, tmp_path)


def test_the_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SHOP))
    with importable(SHOP / "idl" / "shop.idl", output=tmp_path / "gen"):
        shop = importlib.import_module("server")
        service = shop.shop_service(shop.InMemoryShop())
        with Server(service, "127.0.0.1:0", http=Http(openapi=True)) as server:
            server.start()
            check(server, tmp_path)
    del sys.modules["server"]
