"""Settings in registries: validated changes, history and rollback."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import msgspec
import pytest

from idlrt.config import store
from idlrt.config.store import Version, change, history, rollback, to_text
from idlrt.embedded import RegistryServer
from idlrt.errors import ConfigurationError, RegistryUnavailable
from idlrt.registry import Registry
from idlrt.registry.memory import memory_store

SERVICE = "UserService"


@pytest.fixture(params=["memory", "embedded"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if request.param == "memory":
        with Registry.connect(f"memory://{uuid.uuid4().hex}") as made:
            yield made
    else:
        with RegistryServer() as server, Registry.connect(server.url, cache=False) as made:
            yield made


def raw(registry: Registry) -> dict[str, str]:
    return dict(registry.instances(SERVICE).settings)


def test_settings_are_changed_one_by_one(registry: Registry) -> None:
    first = change(registry, SERVICE, {"timeout": "2", "fault": "hedge"}, note="slow")
    assert (first.version, first.settings, first.note) == (1, {"timeout": "2", "fault": "hedge"}, "slow")
    second = change(registry, SERVICE, {"timeout": None, "retries": "0"})
    assert (second.version, second.settings) == (2, {"fault": "hedge", "retries": "0"})
    assert {key: value for key, value in raw(registry).items() if not key.startswith("config.")} == second.settings
    assert second.at >= first.at > 0


def test_settings_are_changed_as_a_whole(registry: Registry) -> None:
    change(registry, SERVICE, {"timeout": "2", "fault": "hedge"})
    assert change(registry, SERVICE, {"retries": "0"}, whole=True).settings == {"retries": "0"}
    assert set(raw(registry)) == {"retries", "config.version", "config.history"}


def test_groups_have_settings_of_their_own(registry: Registry) -> None:
    change(registry, SERVICE, {"timeout": "2"}, "blue")
    assert raw(registry) == {}
    assert history(registry, SERVICE, "blue")[-1].settings == {"timeout": "2"}


def test_the_history_of_a_service_without_settings(registry: Registry) -> None:
    assert history(registry, SERVICE) == (Version(version=0),)
    with pytest.raises(
        ConfigurationError, match="cannot roll back the settings of UserService: there is no earlier version"
    ):
        rollback(registry, SERVICE)


def test_the_history_has_settings_times_and_notes(registry: Registry) -> None:
    for number in (1, 2, 3):
        change(registry, SERVICE, {"retries": str(number)}, note=f"note {number}")
    found = history(registry, SERVICE)
    assert [(each.version, each.settings, each.note) for each in found] == [
        (0, {}, ""),
        *((number, {"retries": str(number)}, f"note {number}") for number in (1, 2, 3)),
    ]
    assert found[0].at <= found[1].at <= found[2].at


def test_ten_earlier_versions_are_kept(registry: Registry) -> None:
    for number in range(15):
        change(registry, SERVICE, {"retries": str(number)})
    assert [each.version for each in history(registry, SERVICE)] == list(range(5, 16))
    with pytest.raises(ConfigurationError, match=r"unknown version 4 \(known: 5, 6, 7"):
        rollback(registry, SERVICE, to=4)


def test_fewer_versions_are_kept_if_rules_are_long(registry: Registry) -> None:
    def rules(number: int) -> str:
        return to_text([{"when": f"argument.0 = {'x' * 5000}", "to": f"tags.n = {number}"}])

    for number in range(12):
        change(registry, SERVICE, {"routes": rules(number)})
    found = history(registry, SERVICE)
    assert 3 <= len(found) < 11
    assert found[-1].version == 12
    assert len(msgspec.json.encode(raw(registry))) < 65536
    assert rollback(registry, SERVICE).settings["routes"] == rules(10)


def test_rollback_restores_the_previous_settings_as_a_new_version(registry: Registry) -> None:
    change(registry, SERVICE, {"retries": "1", "timeout": "2"})
    change(registry, SERVICE, {"retries": "2", "fault": "hedge"})
    back = rollback(registry, SERVICE)
    assert (back.version, back.settings, back.note) == (3, {"retries": "1", "timeout": "2"}, "rollback to version 1")
    assert "fault" not in raw(registry)
    assert rollback(registry, SERVICE).settings == {"retries": "2", "timeout": "2", "fault": "hedge"}, "and forth"
    assert rollback(registry, SERVICE, to=1, note="enough").settings == {"retries": "1", "timeout": "2"}
    assert [each.note for each in history(registry, SERVICE)][-2:] == ["rollback to version 2", "enough"]


def test_rollback_to_settings_from_before_the_history(registry: Registry) -> None:
    registry.configure(SERVICE, {"retries": "7"})
    change(registry, SERVICE, {"retries": "1"})
    assert rollback(registry, SERVICE).settings == {"retries": "7"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"retries": "1", "timeot": "2"}, "of UserService: timeot: unknown key; did you mean 'timeout'?"),
        ({"retries": "1", "timeout": "soon"}, "settings of UserService: timeout: expected a number of seconds"),
        ({"routes": '[{"wen": 1}]'}, r"settings of UserService: routes\[0\].wen: unknown key"),
        ({"retries": "x", "timeout": "x"}, "settings of UserService: 2 problems"),
        ({"config.version": "7"}, "cannot set config.version: reserved for the history of the settings"),
        ({"config.history": None}, "cannot set config.history: reserved for the history of the settings"),
    ],
)  # fmt: skip
def test_invalid_changes_write_nothing(registry: Registry, changes: dict[str, str | None], why: str) -> None:
    change(registry, SERVICE, {"fault": "hedge"})
    before = raw(registry)
    with pytest.raises(ConfigurationError, match=why):
        change(registry, SERVICE, changes)
    assert raw(registry) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"before": 5}', '{"before": [{"version": "x"}]}', "[" * 5000])
def test_a_damaged_history_is_ignored(registry: Registry, text: str) -> None:
    change(registry, SERVICE, {"retries": "1"})
    registry.configure(SERVICE, {"config.history": text})
    (now,) = history(registry, SERVICE)
    assert (now.version, now.settings) == (1, {"retries": "1"})
    assert change(registry, SERVICE, {"retries": "2"}).version == 2
    assert [each.settings for each in history(registry, SERVICE)] == [{"retries": "1"}, {"retries": "2"}]


@pytest.mark.parametrize("text", ["", "x", "-5", "1.5"])
def test_a_damaged_version_number_is_ignored(registry: Registry, text: str) -> None:
    for number in (1, 2, 3):
        change(registry, SERVICE, {"retries": str(number)})
    registry.configure(SERVICE, {"config.version": text})
    assert change(registry, SERVICE, {"retries": "4"}).version == 4, "versions never go back"
    assert [each.version for each in history(registry, SERVICE)] == [0, 1, 2, 3, 4]


def test_direct_writes_are_part_of_the_history(registry: Registry) -> None:
    change(registry, SERVICE, {"retries": "1"})
    registry.configure(SERVICE, {"timeout": "2"})
    change(registry, SERVICE, {"retries": "2"})
    assert rollback(registry, SERVICE).settings == {"retries": "1", "timeout": "2"}


def test_an_unreachable_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    name = uuid.uuid4().hex
    with Registry.connect(f"memory://{name}") as registry:
        change(registry, SERVICE, {"retries": "1"})
        memory_store(name).is_down = True
        with pytest.raises(RegistryUnavailable):
            change(registry, SERVICE, {"retries": "2"}, timeout=0.2)
        memory_store(name).is_down = False
        assert history(registry, SERVICE)[-1].settings == {"retries": "1"}


def test_a_user_without_a_name_can_change_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    with Registry.connect(f"memory://{uuid.uuid4().hex}") as registry:
        monkeypatch.setattr(store.getpass, "getuser", nobody)
        assert change(registry, SERVICE, {"retries": "1"}).by == ""


def test_values_as_text() -> None:
    assert [to_text(each) for each in ("a", 1, 0.5, True, None, [1], {"a": "b"})] == [
        "a", "1", "0.5", "true", "null", "[1]", '{"a":"b"}',
    ]  # fmt: skip
