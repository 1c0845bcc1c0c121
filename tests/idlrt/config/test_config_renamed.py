"""Old names of keys: accepted wherever users write keys, for one version."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from idlrt.client import Client
from idlrt.client.options import layer_of, values_of
from idlrt.config import Layer, check, effective, read_config
from idlrt.config.describe import describe
from idlrt.config.schema import fields, locate, section
from idlrt.config.store import Version, change, history, rollback, to_text
from idlrt.core import CONFIG_VARIABLE, ClockAndRandom
from idlrt.core.renamed import KEYS, current_key, first_key
from idlrt.errors import ConfigurationError
from idlrt.registry import Registry
from idlrt.route import Pool
from idlrt.server.guards import server_guards
from idlrt.spec import I64, Service, method, required

SERVICE = "UserService"
# Keys that clients of version 0.1 know; `enabled` of guards apart.
FIRST = frozenset((Path(__file__).parent / "keys_0_1.txt").read_text(encoding="utf-8").split())
DEFAULTS = {key.name: msgspec.json.decode(key.default) if key.default else None for key in describe()}


def known_to_the_first_version(settings: dict[str, str]) -> bool:
    """Whether a client of version 0.1 knows all keys: it ignores others, and those of the history."""
    plain = [key.split(".", 2)[2] if key.startswith("methods.") else key for key in settings]
    return all(key in FIRST or key.endswith(".enabled") or key.startswith("config.") for key in plain)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry.connect(f"memory://{uuid.uuid4().hex}") as made:
        yield made


def raw(registry: Registry) -> dict[str, str]:
    return dict(registry.instances(SERVICE).settings)


# Look-up and merge.


@pytest.mark.parametrize(("old", "new"), KEYS.items())
def test_an_old_name_is_the_same_setting(old: str, new: str) -> None:
    assert locate(old) == locate(new)
    assert check({old: DEFAULTS[new]}) == check({new: DEFAULTS[new]}) == []
    _, table, field = locate(new)
    found = effective([Layer("file", {old: DEFAULTS[new]})])
    assert getattr(found.section(table), field) == DEFAULTS[new]
    assert found.origins == {new: f"file (as {old})"}
    about = section(table)
    assert about is not None
    assert field in fields(about)


def test_a_wrong_value_is_reported_by_the_name_that_was_written() -> None:
    (problem,) = check({"breaker.errors": 2})
    assert str(problem) == "breaker.errors: must be at most 1, got 2"


@pytest.mark.parametrize("prefix", ["", "methods.get."])
def test_both_names_in_one_place_are_an_error(prefix: str) -> None:
    (problem,) = check({f"{prefix}breaker.errors": 0.1, f"{prefix}breaker.failure_ratio": 0.1})
    assert problem.key == f"{prefix}breaker.errors"
    assert problem.why == (
        f"also set as {prefix}breaker.failure_ratio, its current name; remove {prefix}breaker.errors"
    )


def test_a_method_may_use_the_other_name_than_its_service() -> None:
    flat = {"breaker.errors": 0.1, "methods.get.breaker.failure_ratio": 0.2}
    assert check(flat) == []
    assert effective([Layer("", flat)], "get").section("breaker").failure_ratio == 0.2
    assert effective([Layer("", flat)], "put").section("breaker").failure_ratio == 0.1


@pytest.mark.parametrize(("first", "second"), [("panic", "panic_threshold"), ("panic_threshold", "panic")])
def test_layers_may_use_different_names_and_the_most_specific_wins(first: str, second: str) -> None:
    found = effective([Layer("registry", {first: "0.1"}), Layer("file", {second: 0.2})])
    assert found.service.panic_threshold == 0.2


# Files.


OLD = "[defaults]\npanic = 0.2\n[services.A]\nmethods.get.hedge.attempts = 3\n[server.limiter]\nwait = 0.5\n"


def test_old_names_in_a_file_cause_warnings_that_name_both(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text(OLD)
    with pytest.warns(DeprecationWarning, match="is deprecated: use") as caught:
        read = read_config(file)
    assert [str(each.message) for each in caught] == [
        f"{file}: defaults.panic is deprecated: use panic_threshold",
        f"{file}: services.A.methods.get.hedge.attempts is deprecated: use methods.get.hedge.max_attempts",
        f"{file}: server.limiter.wait is deprecated: use limiter.max_wait",
    ]
    assert {each.filename for each in caught} == {__file__}
    assert effective(read.layers("A"), "get").section("hedge").max_attempts == 3
    assert effective(read.layers("A")).service.panic_threshold == 0.2


def test_the_file_that_the_environment_names_is_read_likewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "client.toml"
    file.write_text("[defaults]\npanic = 0.2\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    with pytest.warns(DeprecationWarning, match="panic is deprecated: use panic_threshold"):
        assert effective(read_config().layers("A")).service.panic_threshold == 0.2


def test_deprecated_keys_are_findings_and_no_errors(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text(OLD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_config(file, warn=False).deprecations()
    assert [str(each) for each in found] == [
        "defaults.panic: deprecated: use panic_threshold",
        "services.A.methods.get.hedge.attempts: deprecated: use methods.get.hedge.max_attempts",
        "server.limiter.wait: deprecated: use limiter.max_wait",
    ]


def test_both_names_in_a_file_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"defaults.panic: also set as panic_threshold, its current name"):
        read_config({"defaults": {"panic": 0.1, "panic_threshold": 0.1}})


# Options of clients and servers.


def test_policies_of_clients_and_calls() -> None:
    with pytest.warns(DeprecationWarning, match=r"policy: hedge.attempts is deprecated: use hedge.max_attempts"):
        values = values_of({"hedge": {"attempts": 3}}, "policy")
    assert effective([Layer("", values)]).section("hedge").max_attempts == 3
    with pytest.warns(DeprecationWarning, match=r"policy: backoff.base is deprecated: use backoff.base_delay"):
        layer = layer_of({"policy": {"backoff.base": 0.5}})
    assert effective([layer]).policy.backoff.base_delay == 0.5
    with pytest.raises(ConfigurationError, match=r"hedge.attempts: also set as hedge.max_attempts"):
        values_of({"hedge": {"attempts": 3, "max_attempts": 3}}, "policy")


def test_guards_of_servers() -> None:
    with pytest.warns(
        DeprecationWarning, match=r"guards of a server: limiter.wait is deprecated: use limiter.max_wait"
    ):
        server_guards({"limiter": {"wait": 0.5}}, {})
    with pytest.raises(ConfigurationError, match=r"limiter.wait: also set as limiter.max_wait"):
        server_guards({"limiter": {"wait": 0.5, "max_wait": 0.5}}, {})


class Users:
    def get(self, id: int) -> int:
        return id


GET = method(Users.get, required(1, "id", I64), result=I64, policy={"backoff.base": "0.5", "timeout": "7"})
USERS = Service(SERVICE, GET)


class UsersClient(Client):
    __thrift_service__ = USERS

    def get(self, id: int) -> int:
        return self._call(GET, id)


def test_annotations_of_generated_code() -> None:
    policies: list[Any] = []

    async def stop(call: Any, next: Any) -> Any:
        policies.append(call.policy)
        return 1

    with UsersClient.connect("127.0.0.1:1", filters=[stop]) as client:
        with pytest.warns(DeprecationWarning, match="annotations of") as caught:
            client.get(1)
        client.get(1)
    assert [str(each.message) for each in caught] == [
        "annotations of UserService: methods.get.backoff.base is deprecated: use methods.get.backoff.base_delay"
    ]
    assert {(each.backoff.base_delay, each.timeout) for each in policies} == {(0.5, 7.0)}


# Registries: what is written stays readable for clients of version 0.1.


@pytest.mark.parametrize("key", ["breaker.errors", "breaker.failure_ratio"])
def test_either_name_is_taken_and_the_old_one_is_written(registry: Registry, key: str) -> None:
    written = change(registry, SERVICE, {key: "0.3", f"methods.get.{key}": "0.4", "timeout": "2"})
    assert written.format == "0.1"
    assert written.settings == {"breaker.errors": "0.3", "methods.get.breaker.errors": "0.4", "timeout": "2"}
    assert known_to_the_first_version(raw(registry))
    found = effective([Layer("registry", raw(registry))], "get")
    assert found.section("breaker").failure_ratio == 0.4
    assert found.origins["breaker.failure_ratio"] == "registry, methods.get (as breaker.errors)"


def test_all_keys_are_written_with_names_that_the_first_version_knows(registry: Registry) -> None:
    # Sampling came later; older clients ignore it, as all unknown settings.
    later = ("sampling.",)
    settings = {
        name: to_text(value) for name, value in DEFAULTS.items() if value is not None and not name.startswith(later)
    }
    change(registry, SERVICE, settings)
    assert known_to_the_first_version(raw(registry))
    assert {current_key(key) for key in raw(registry) if not key.startswith("config.")} == settings.keys()


def test_the_key_format_is_changed_once_and_kept(registry: Registry) -> None:
    change(registry, SERVICE, {"breaker.errors": "0.3", "timeout": "2"})
    renamed = change(registry, SERVICE, {}, format="0.2")
    assert (renamed.version, renamed.format) == (2, "0.2")
    assert renamed.settings == {"breaker.failure_ratio": "0.3", "timeout": "2"}
    assert "breaker.errors" not in raw(registry)
    assert change(registry, SERVICE, {"panic": "0.1"}).settings == {**renamed.settings, "panic_threshold": "0.1"}
    assert rollback(registry, SERVICE, to=1).settings == renamed.settings, "earlier versions too"
    back = change(registry, SERVICE, {}, format="0.1")
    assert back.settings == {"breaker.errors": "0.3", "timeout": "2"}
    assert [each.format for each in history(registry, SERVICE)] == ["0.1", "0.1", "0.2", "0.2", "0.2", "0.1"]
    with pytest.raises(ConfigurationError, match=r"unknown key format '0.3' \(known: 0.1, 0.2\)"):
        change(registry, SERVICE, {}, format="0.3")


@pytest.mark.parametrize("format", ["0.1", "0.2"])
@pytest.mark.parametrize("key", ["panic", "panic_threshold"])
def test_a_setting_is_removed_by_either_name(registry: Registry, format: str, key: str) -> None:
    change(registry, SERVICE, {"panic": "0.1", "timeout": "2"}, format=format)
    assert change(registry, SERVICE, {key: None}).settings == {"timeout": "2"}


@pytest.mark.parametrize(
    "changes", [{"panic": None, "panic_threshold": "0.2"}, {"panic_threshold": "0.2", "panic": None}]
)
def test_one_change_may_remove_the_old_name_and_set_the_current_one(
    registry: Registry, changes: dict[str, str | None]
) -> None:
    change(registry, SERVICE, {"panic": "0.1"})
    assert change(registry, SERVICE, changes).settings == {"panic": "0.2"}


def test_both_names_in_one_change_are_an_error(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match=r"panic: also set as panic_threshold, its current name; remove panic"):
        change(registry, SERVICE, {"panic": "0.1", "panic_threshold": "0.2"})
    assert raw(registry) == {}


def test_both_names_in_a_registry_are_an_error_until_one_is_removed_or_set(registry: Registry) -> None:
    both = {"panic": "0.1", "panic_threshold": "0.2"}
    registry.configure(SERVICE, both)  # as a tool of version 0.1 does with settings in format 0.2
    with pytest.raises(ConfigurationError, match="panic: also set as panic_threshold"):
        change(registry, SERVICE, {"timeout": "2"})
    assert change(registry, SERVICE, {"panic": None}).settings == {"panic": "0.2"}
    registry.configure(SERVICE, both)
    assert change(registry, SERVICE, {"panic_threshold": None}).settings == {"panic": "0.1"}
    registry.configure(SERVICE, both)
    assert change(registry, SERVICE, {"panic_threshold": "0.3"}).settings == {"panic": "0.3"}


def test_an_unknown_key_format_in_a_registry_counts_as_the_first_one(registry: Registry) -> None:
    registry.configure(SERVICE, {"config.format": "x"})
    assert change(registry, SERVICE, {"panic_threshold": "0.1"}).settings == {"panic": "0.1"}


def test_the_history_can_be_read_without_formats(registry: Registry) -> None:
    change(registry, SERVICE, {"panic": "0.1"}, format="0.2")
    change(registry, SERVICE, {"panic": "0.2"})
    # A tool of version 0.1 writes versions without a format.
    text = msgspec.json.decode(raw(registry)["config.history"])
    for each in text["before"]:
        del each["format"]
    registry.configure(SERVICE, {"config.history": msgspec.json.encode(text).decode()})
    assert history(registry, SERVICE)[0] == Version(version=0, format="0.1")
    assert rollback(registry, SERVICE, to=1).settings == {"panic_threshold": "0.1"}


def test_names_of_the_first_version_are_a_bijection() -> None:
    assert {first_key(current_key(key)) for key in FIRST} == FIRST


def test_the_old_table_of_the_caller_is_read_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"config: \[here\] is deprecated: use \[caller\]"):
        found = read_config({"here": {"zone": "eu-1"}})
    assert found.caller.zone == "eu-1"
    assert [str(each) for each in found.deprecations()] == ["here: deprecated: use caller"]


def test_both_names_of_the_table_of_the_caller_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="here: the same table as caller: keep caller only"):
        read_config({"here": {"zone": "eu-1"}, "caller": {"zone": "eu-1"}})


def test_old_attributes_of_plugins_work_with_a_warning() -> None:
    pool: Pool[Any] = Pool([1, 2])
    sources = ClockAndRandom(rng=lambda: 0.5)
    with pytest.warns(DeprecationWarning, match="dice of ClockAndRandom is deprecated: use rng"):
        assert sources.dice() == 0.5
    with pytest.warns(DeprecationWarning, match="nodes of Pool is deprecated: use endpoints"):
        assert pool.nodes == pool.endpoints
