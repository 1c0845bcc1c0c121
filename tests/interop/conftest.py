"""Our stubs of the IDL, what serves it, and everybody who calls it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from peer_handler import Handler

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def stubs(tmp_path_factory) -> ModuleType:
    """The module that our compiler makes of the IDL."""
    import idlc

    output = tmp_path_factory.mktemp("interop")
    sources = (HERE / "interop.thrift", HERE / "interop_apache.thrift")
    result = idlc.compile(sources=sources, output=output, use_cache=False)
    assert not result.report.has_errors
    sys.path.insert(0, str(output))
    try:
        return importlib.import_module("interop_stubs")
    finally:
        sys.path.remove(str(output))


@pytest.fixture
def handler(stubs) -> Handler:
    return Handler(stubs)
