"""The list of keys: each has a type, a description and a default."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from idlrt.config import check
from idlrt.config.describe import Key, describe, table
from idlrt.config.schema import Section, fields, locate, sections
from idlrt.core import Seconds

KEYS = describe()


def test_each_key_is_listed_once() -> None:
    expected = {
        (each.name + "." if each.name not in ("", "service") else "") + name
        for each in sections()
        for name in fields(each)
    }
    names = [key.name for key in KEYS]
    assert set(names) == expected
    assert len(names) == len(expected)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_a_key_is_documented(key: Key) -> None:
    assert key.type
    assert "custom" not in key.type
    assert key.about.endswith("."), "each field has a description in its `Meta`"
    assert "|" not in key.about + key.type, "it is a cell of a table"
    assert key.kind
    assert locate(key.name)[2] == key.name.rpartition(".")[2]
    default = msgspec.json.decode(key.default) if key.default else None
    assert not check({key.name: default}) or key.default == "", "defaults are valid values"
    method = check({f"methods.get.{key.name}": default})
    is_refused = any("applies to a whole service" in each.why for each in method)
    assert is_refused is not key.is_per_method


def test_types_have_units_and_ranges() -> None:
    types = {key.name: key.type for key in KEYS}
    assert types["timeout"] == "seconds, > 0"
    assert types["attempt_timeout"] == "seconds, > 0, optional"
    assert types["retries"] == "integer, 0 to 100"
    assert types["panic_threshold"] == "number, 0 to 1"
    assert types["breaker.per"] == '"method" or "service"'
    assert types["fallback.values"] == "table"
    assert types["routes"] == "list"


def test_a_plugin_may_leave_descriptions_and_defaults_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class PlainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Settings of a plugin.

        Attributes:
            size: documented for readers of the source.
        """

        size: int
        wait: Annotated[Seconds, msgspec.Meta(description="time to wait.")] = 0.5

    plain = Section("plain", PlainSettings, "guard")
    monkeypatch.setattr("idlrt.config.describe.sections", lambda: [plain])
    size, wait = describe()
    assert (size.name, size.type, size.default, size.about) == ("plain.size", "integer", "", "")
    assert (wait.name, wait.type, wait.default, wait.about) == ("plain.wait", "seconds, >= 0", "0.5", "time to wait.")


def test_summaries_have_defaults() -> None:
    found = {key.name: key.summary for key in KEYS}
    assert found["breaker.break_duration"] == "seconds, > 0, default 5.0"
    assert found["attempt_timeout"] == "seconds, > 0, optional"


def test_renamed_keys_have_their_old_names() -> None:
    found = {key.name: key.old_name for key in KEYS}
    assert found["breaker.failure_ratio"] == "breaker.errors"
    assert found["panic_threshold"] == "panic"
    assert found["timeout"] == ""


def test_a_table_in_markdown() -> None:
    rows = [
        Key(name="a.b", type="number", default="1", about="what.", kind="calls", is_per_method=True),
        Key(name="c", type="text", default="", about="why.", kind="calls", is_per_method=True),
    ]
    assert table(rows).splitlines()[2:] == ["| `a.b` | number | `1` | what. |", "| `c` | text |  | why. |"]
