"""Compiler and runtime accept the same call settings.

Neither imports the other, so the compiler has a table that is generated from the settings of the runtime.
`IDLC_GOLDEN=update` writes it: read the diff before committing it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.inspect import BoolType, FloatType, IntType, Metadata, NoneType, StrType, StructType, UnionType, type_info

from idlc.checks import call_settings
from idlc.checks.call_settings import CALL_SETTINGS
from idlrt.balance import BALANCERS
from idlrt.config import check
from idlrt.config.checks import _LARGEST
from idlrt.config.schema import fields, sections
from idlrt.core import CallPolicy
from idlrt.fault import FAULT_MODES

PLUGINS = {"balancer": BALANCERS.names(), "fault": FAULT_MODES.names()}

TEXTS = st.one_of(
    st.text(max_size=6),
    st.integers(-5, 120).map(str),
    st.floats().map(str),
    st.sampled_from(["true", "False", "TRUE", "null", "1e3", "1.", ".5", "+1", "01", "[1]", "{}", "[", "2.0", "-0"]),
)

HEAD = '''"""Call settings that annotations can set, with their types and ranges, generated from those of the runtime.

Do not edit. After a change of `CallPolicy` or `ServicePolicy`, update this module with
`IDLC_GOLDEN=update pytest tests/idlc/checks/test_policy_settings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from idlc.checks.setting import Setting

__all__ = ["CALL_SETTINGS", "SERVICE_KEYS", "SERVICE_TABLES"]

'''


def rejected(key: str, text: str) -> bool:
    return bool(check({f"methods.get.{key}": text}))


def settings(type: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the arguments of `Setting` for each field of a settings struct of the runtime, with its dotted key."""
    assert isinstance(type, StructType)
    for field in type.fields:
        key, inner = prefix + field.name, field.type
        extra: dict[str, object] = {}
        while isinstance(inner, Metadata):
            extra, inner = {**(inner.extra or {}), **extra}, inner.type
        is_optional = isinstance(inner, UnionType)
        if isinstance(inner, UnionType):
            (inner,) = (each for each in inner.types if not isinstance(each, NoneType))
        while isinstance(inner, Metadata):
            extra, inner = {**(inner.extra or {}), **extra}, inner.type
        if isinstance(inner, StructType):
            yield from settings(inner, f"{key}.")
            continue
        arguments: dict[str, object] = {}
        match inner:
            case BoolType():
                arguments["type"] = "bool"
            case StrType():
                arguments["type"] = "str"
                if rejected(key, ""):
                    arguments["is_name"] = True
            case IntType() | FloatType():
                assert inner.gt is inner.lt is None
                assert inner.ge is not None
                arguments["type"] = "int" if isinstance(inner, IntType) else "float"
                arguments["minimum"] = inner.ge
                arguments["maximum"] = _LARGEST if inner.le is None else inner.le
                if str(extra.get("type", "")).startswith("seconds"):
                    arguments["unit"] = '"seconds"'
            case _:
                raise AssertionError(f"{key}: the compiler cannot validate {inner}")
        if is_optional:
            arguments["is_optional"] = True
        yield key, arguments


def module() -> str:
    lines = [HEAD, "CALL_SETTINGS: Final[Mapping[str, Setting]] = {\n"]
    for key, arguments in settings(type_info(CallPolicy)):
        written = ", ".join(f"{name}={value}" for name, value in arguments.items())
        lines.append(f'    "{key}": Setting({written}),\n')
    lines.append('}\n"""Settings of calls, by key."""\n\n')
    keys = sorted(name for each in sections() if each.name == "service" for name in fields(each))
    tables = sorted(each.name for each in sections() if not each.is_per_method and each.name != "service")
    lines.append(f"SERVICE_KEYS: Final = frozenset({json.dumps(keys)})\n")
    lines.append(f"SERVICE_TABLES: Final = frozenset({json.dumps(tables)})\n")
    lines.append('"""Keys and tables of settings that belong to a service as a whole, not to its calls."""\n')
    return "".join(lines)


def test_the_table_of_the_compiler_is_what_the_runtime_defines() -> None:
    path = Path(call_settings.__file__)
    if os.environ.get("IDLC_GOLDEN") == "update":
        path.write_text(module(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == module()


@pytest.mark.parametrize("key", CALL_SETTINGS)
@example(text="")
@given(text=TEXTS)
def test_both_accept_the_same_values(key: str, text: str) -> None:
    if key in PLUGINS:  # only the runtime knows the names of plugins
        assert CALL_SETTINGS[key].accepts(text) or rejected(key, text)
    else:
        assert CALL_SETTINGS[key].accepts(text) is not rejected(key, text)


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, names in PLUGINS.items() for name in names])
def test_every_plugin_of_the_runtime_is_accepted(key: str, name: str) -> None:
    assert CALL_SETTINGS[key].accepts(name)
    assert not rejected(key, name)
