"""The keys, for people: nothing is without a type, a purpose and a default that can be said."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from idlrt.config import check
from idlrt.config.describe import Key, describe, table
from idlrt.config.schema import Section, fields, place, sections
from idlrt.core import Seconds

KEYS = describe()


def test_no_key_is_missing_and_none_is_there_twice() -> None:
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
    assert "|" not in key.about + key.type, "it stands in a table"
    assert key.kind
    assert place(key.name)[2] == key.name.rpartition(".")[2]
    default = msgspec.json.decode(key.default) if key.default else None
    assert not check({key.name: default}) or key.default == "", "what holds anyway can be said"
    method = check({f"methods.get.{key.name}": default})
    is_refused = any("applies to a whole service" in each.why for each in method)
    assert is_refused is not key.is_per_method


def test_types_read_as_prose() -> None:
    types = {key.name: key.type for key in KEYS}
    assert types["timeout"] == "seconds, more than 0"
    assert types["attempt_timeout"] == "seconds, more than 0 or nothing"
    assert types["retries"] == "whole number from 0 to 100"
    assert types["panic"] == "number from 0 to 1"
    assert types["breaker.per"] == "'method' or 'service'"
    assert types["fallback.values"] == "table of anything"
    assert types["routes"] == "list of anything"


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
    assert (size.name, size.type, size.default, size.about) == ("plain.size", "whole number", "", "")
    assert (wait.name, wait.type, wait.default, wait.about) == ("plain.wait", "seconds", "0.5", "time to wait.")


def test_a_table_in_markdown() -> None:
    rows = [
        Key(name="a.b", type="number", default="1", about="what.", kind="calls", is_per_method=True),
        Key(name="c", type="text", default="", about="why.", kind="calls", is_per_method=True),
    ]
    assert table(rows).splitlines()[2:] == ["| `a.b` | number | `1` | what. |", "| `c` | text |  | why. |"]
