"""Configuration files, and their contents as nested tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from idlrt.config import ConfigFile, Layer, read_config
from idlrt.core import CONFIG_VARIABLE
from idlrt.errors import ConfigurationError

TEXT = """
[caller]
zone = "eu-1"
labels = { team = "a" }

[defaults]
timeout = 2.0

[services.UserService]
fault = "hedge"
hedge.delay = 0.02
methods.get.timeout = 0.2

[[services.UserService.routes]]
when = "method = find*"
to = "tags.disk = ssd"

[services."com.example.Users"]
retries = 0

[server]
limiter.rate = 1000
methods.get.limiter.rate = 10

[server.shedder]
"""


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)


def is_right(read: ConfigFile) -> bool:
    assert read.caller.zone == "eu-1"
    assert read.caller.labels == {"team": "a"}
    assert read.defaults == {"timeout": 2.0}
    assert read.services["UserService"] == {
        "fault": "hedge",
        "hedge.delay": 0.02,
        "methods.get.timeout": 0.2,
        "routes": [{"when": "method = find*", "to": "tags.disk = ssd"}],
    }
    assert read.services["com.example.Users"] == {"retries": 0}
    assert read.server == {"limiter.rate": 1000, "methods.get.limiter.rate": 10, "shedder.enabled": True}
    return True


def nested() -> dict[str, Any]:
    import tomllib

    return tomllib.loads(TEXT)


def test_toml(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text(TEXT)
    assert is_right(read_config(file))
    assert is_right(read_config(str(file)))
    assert read_config(file).name == str(file)


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_text(json.dumps(nested()))
    assert is_right(read_config(file))


def test_a_mapping() -> None:
    assert is_right(read_config(nested()))


def test_the_environment_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_config() == ConfigFile()
    file = tmp_path / "client.toml"
    file.write_text(TEXT)
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    assert is_right(read_config())
    assert read_config({}).defaults == {}, "what is given counts more"
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    assert read_config() == ConfigFile()
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "nowhere.toml"))
    with pytest.raises(ConfigurationError, match=r"cannot read the configuration .*nowhere\.toml: No such file"):
        read_config()


def test_layers_of_a_service_are_defaults_then_its_names() -> None:
    read = read_config(nested())
    assert read.layers("UserService", "com.example.Users") == [
        Layer("config, defaults", {"timeout": 2.0}),
        Layer("config, services.UserService", read.services["UserService"]),
        Layer("config, services.com.example.Users", {"retries": 0}),
    ]
    assert len(read.layers("UserService", "UserService")) == 2, "each name once"
    assert [each.origin for each in read.layers("Nobody")] == ["config, defaults"]
    assert ConfigFile().layers("UserService") == []


WRONG: list[tuple[Any, str]] = [
    ({"sevices": {}}, "config: sevices: unknown table; did you mean 'services'?"),
    ({"x": {}}, "config: x: unknown table (known: caller, defaults, services, server)"),
    ({1: {}}, "config: 1: unknown table"),
    ({"caller": 1}, "config: caller: expected a table, got 1"),
    ({"caller": {"zon": "a"}}, "config: caller.zon: unknown key; did you mean 'zone'?"),
    ({"caller": {"zone": 1}}, "config: caller.zone: expected a string, got an integer"),
    ({"caller": {"labels": {"a": 1}}}, "config: caller.labels[...]: expected a string, got an integer"),
    ({"defaults": {"timeot": 1}}, "config: defaults.timeot: unknown key; did you mean 'timeout'?"),
    ({"defaults": []}, "config: defaults: expected a table, got []"),
    ({"defaults": {"hedg": {}}}, "config: defaults.hedg: unknown key; did you mean 'hedge'?"),
    ({"defaults": {"config": {"version": 1}}}, "config: defaults.config.version: reserved for registries"),
    ({"services": {"A": 1}}, "config: services.A: expected a table, got 1"),
    ({"services": {"A": {"retries": -1}}}, "config: services.A.retries: must be at least 0, got -1"),
    ({"services": {"A": {"methods": {"get": 1}}}}, "config: services.A.methods.get: must be methods.NAME.KEY"),
    ({"services": {"A": {"routes": [{"to": ""}, {"wen": 1}]}}}, "config: services.A.routes[1].wen: unknown key"),
    ({"server": {"timeout": 1}}, "config: server.timeout: only guards apply to servers"),
    ({"server": {"hedge": {"delay": 1}}}, "config: server.hedge.delay: only guards apply to servers"),
    ({"server": {"limitr": {"rate": 1}}}, "config: server.limitr.rate: unknown table 'limitr'; did you mean"),
    ({"server": {"limiter": {"rate": 0}}}, "config: server.limiter.rate: must be greater than 0, got 0"),
    (5, "cannot read the configuration: must be a path or a mapping, got 5"),
    ("nowhere\0.toml", "cannot read the configuration nowhere"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "why"), WRONG, ids=[str(each[0])[:50] for each in WRONG])
def test_errors_name_their_place(source: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_config(source)
    assert str(caught.value).startswith(why)


def test_all_errors_are_listed_in_the_order_of_the_file() -> None:
    wrong = {"zzz": {}, "aaa": {}, "defaults": {"timeout": 0}, "server": {"retries": 1}, "caller": {"zon": ""}}
    with pytest.raises(ConfigurationError) as caught:
        read_config(wrong)
    lines = str(caught.value).splitlines()
    assert lines[0] == "config: 5 problems:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "zzz", "aaa", "caller.zon", "defaults.timeout", "server.retries",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("c.toml", b"[here", "c.toml: invalid TOML"),
        ("c.json", b"{", "c.json: invalid JSON"),
        ("c.json", b"[1]", "c.json: expected a table at the top level, got list"),
        ("c.json", b"[" * 100_000, "c.json: invalid JSON"),
        ("c.toml", b"\xff", "cannot read the configuration"),
        ("c.toml", b"x = 1\nx = 2", "c.toml: invalid TOML"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, text: bytes, why: str) -> None:
    file = tmp_path / name
    file.write_bytes(text)
    with pytest.raises(ConfigurationError) as caught:
        read_config(file)
    assert why in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_config(tmp_path)
