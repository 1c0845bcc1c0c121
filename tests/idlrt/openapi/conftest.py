"""Documents of IDL that a test compiles."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from compiled_idl import importable, library, written
from openapi_spec_validator import validate

from idlrt.openapi import OpenApiOptions, openapi_document
from idlrt.spec import Service

_NUMBERS = itertools.count(1)

Document = dict[str, Any]


@pytest.fixture
def compiled(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Compile one IDL text: the module of its stubs."""
    with ExitStack() as stack:

        def run(text: str) -> Any:
            name = f"openapi_idl_{next(_NUMBERS)}"
            paths = written(tmp_path, {f"{name}.idl": f"namespace py {name}\n{text}"})
            stack.enter_context(importable(*paths, output=tmp_path / f"{name}.gen"))
            return importlib.import_module(name)

        yield run


@pytest.fixture
def document(compiled: Callable[[str], Any]) -> Callable[..., Document]:
    """The valid document of the services of an IDL text."""

    def run(text: str, **options: Any) -> Document:
        made = openapi_document(_services(compiled(text)), OpenApiOptions(**options))
        validate(made)
        return made

    return run


def _services(module: Any) -> list[Service]:
    """Return the services of a package of stubs, in the order of their names."""
    names = sorted(name for name in module.__all__ if name.endswith("Client") and not name.startswith("Async"))
    return [getattr(module, name).__thrift_service__ for name in names]


@pytest.fixture(scope="module")
def library_document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    with library(tmp_path_factory.mktemp("library") / "gen") as module:
        made = openapi_document(_services(module))
    validate(made)
    return made
