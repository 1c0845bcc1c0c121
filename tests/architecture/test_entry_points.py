"""Built-in plugins are registered as a stranger's would be: each entry has its file and each file its entry."""

from __future__ import annotations

import ast
import importlib
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENTRIES: dict[str, dict[str, str]] = PROJECT["entry-points"]
ALL = [(group, name, place) for group, entries in ENTRIES.items() for name, place in entries.items()]


def load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


@pytest.mark.parametrize(("group", "name", "place"), ALL, ids=[f"{group}-{name}" for group, name, _ in ALL])
def test_every_entry_loads(group: str, name: str, place: str) -> None:
    assert load(place) is not None


@pytest.mark.parametrize(
    "group", ["idlc.targets", "idlrt.protocols", "idlrt.serializations", "idlrt.framings", "idlrt.routers"]
)
def test_a_plugin_is_called_as_it_is_registered(group: str) -> None:
    for name, place in ENTRIES[group].items():
        assert load(place).name == name


def test_scripts_load() -> None:
    for place in PROJECT["scripts"].values():
        assert callable(load(place))


def test_every_file_of_checks_is_registered() -> None:
    files = {
        path.stem
        for path in (ROOT / "idlc" / "checks").glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and any("check(" in ast.unparse(each) for each in node.decorator_list)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert {name: f"idlc.checks.{name}" for name in files} == ENTRIES["idlc.checks"]


def test_every_target_is_registered() -> None:
    modules = {f"idlc.codegen.{path.parent.name}" for path in (ROOT / "idlc" / "codegen").glob("*/__init__.py")}
    modules |= {
        f"idlrt.{path.parent.name}.target"
        for path in (ROOT / "runtime" / "idlrt").glob("*/target.py")
        if "from idlc.codegen.target import" in path.read_text(encoding="utf-8")
    }
    assert {place.split(":")[0] for place in ENTRIES["idlc.targets"].values()} == modules


def _classes(folder: str, suffix: str) -> set[str]:
    """Public classes with a name of their own (`name = "..."`) whose own name has the suffix."""
    found = set()
    for path in (ROOT / "runtime" / "idlrt" / folder).glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith(suffix) and not node.name.startswith("_"):
                targets = [
                    each.targets[0] if isinstance(each, ast.Assign) else each.target
                    for each in node.body
                    if isinstance(each, ast.Assign) or (isinstance(each, ast.AnnAssign) and each.value is not None)
                ]
                if any(isinstance(target, ast.Name) and target.id == "name" for target in targets):
                    found.add(f"idlrt.{folder.replace('/', '.')}.{path.stem}:{node.name}")
    return found


def test_every_serialization_is_registered() -> None:
    assert _classes("serialization", "Serialization") == set(ENTRIES["idlrt.serializations"].values())


def test_every_protocol_is_registered_by_its_package() -> None:
    classes = {
        f"idlrt.protocol.{path.parent.name}:{place.rpartition(':')[2]}"
        for path in (ROOT / "runtime" / "idlrt" / "protocol").glob("*/plugin.py")
        for place in _classes(f"protocol/{path.parent.name}", "Protocol")
    }
    assert classes == set(ENTRIES["idlrt.protocols"].values())


def test_every_serialization_of_thrift_has_its_envelope() -> None:
    """An envelope has no separate name: it uses that of its serialization."""
    found = {
        f"idlrt.protocol.thrift.envelope:{node.name}"
        for node in ast.parse(
            (ROOT / "runtime" / "idlrt" / "protocol" / "thrift" / "envelope.py").read_text(encoding="utf-8")
        ).body
        if isinstance(node, ast.ClassDef) and "Envelope" in map(ast.unparse, node.bases)
    }
    envelopes = ENTRIES["idlrt.thrift_envelopes"]
    assert found == set(envelopes.values())
    for name, place in ENTRIES["idlrt.serializations"].items():
        assert load(envelopes[name])(load(place)()).name == name


def _implementations(folder: str, interface: str) -> set[str]:
    """Public classes whose docstring says that they implement `interface`."""
    return {
        f"idlrt.{folder}.{path.stem}:{node.name}"
        for path in (ROOT / "runtime" / "idlrt" / folder).glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and f"Implements `{interface}`." in " ".join((ast.get_docstring(node) or "").split())
    }


def test_every_balancer_is_registered() -> None:
    assert _implementations("balance", "Balancer") == set(ENTRIES["idlrt.balancers"].values())


def test_balancers_and_fault_modes_have_a_file_each_by_their_name() -> None:
    for folder, group in (("balance", "idlrt.balancers"), ("fault", "idlrt.fault_modes")):
        assert all(place.startswith(f"idlrt.{folder}.{name}:") for name, place in ENTRIES[group].items())


def test_every_fault_mode_is_registered() -> None:
    assert _implementations("fault", "FaultMode") == set(ENTRIES["idlrt.fault_modes"].values())


def test_a_fault_mode_is_called_as_it_is_registered() -> None:
    for name, place in ENTRIES["idlrt.fault_modes"].items():
        mode = load(place)
        assert mode.__name__.lower() == name
        assert getattr(mode, "name", name) == name
        assert mode.Settings.__struct_config__.frozen


def test_every_framing_is_registered() -> None:
    assert _classes("protocol/thrift", "ramed") == set(ENTRIES["idlrt.framings"].values())


def test_every_router_is_registered() -> None:
    assert _classes("route", "Router") == set(ENTRIES["idlrt.routers"].values())


def test_a_rule_of_a_router_is_for_that_router() -> None:
    for name, place in ENTRIES["idlrt.routers"].items():
        defaults = {field.name: field.default for field in msgspec.structs.fields(load(place).Rule)}
        assert defaults["router"] == name


def _guards() -> set[str]:
    """Classes that have settings, and that are called with a call and what stands behind them."""
    found = set()
    for path in (ROOT / "runtime" / "idlrt" / "guard").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and "Protocol" not in map(ast.unparse, node.bases):
                own = {each.name for each in node.body if isinstance(each, ast.AsyncFunctionDef)}
                if "__call__" in own:
                    found.add(f"idlrt.guard.{path.stem}:{node.name}")
    return found


def test_every_guard_is_registered_by_the_name_of_its_file() -> None:
    assert _guards() == set(ENTRIES["idlrt.guards"].values())
    assert all(place.startswith(f"idlrt.guard.{name}:") for name, place in ENTRIES["idlrt.guards"].items())
