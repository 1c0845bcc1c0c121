"""The commands `idlrt config ...` and `idlrt route ...`, at the embedded registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from command_line import run_idlrt
from eventually import TIMEOUT

from idlrt.config.describe import describe
from idlrt.config.store import change, history, to_text
from idlrt.core import Instance, Status
from idlrt.embedded import RegistryServer
from idlrt.registry import Registry

pytestmark = pytest.mark.slow

IDL = """\
service Users {
  string get(1: i64 id)
  string put(1: string name)
}
"""


def idlrt(*arguments: str, code: int = 0, **environment: str) -> Result:
    timeout = ["--timeout", f"{TIMEOUT:g}"] if arguments[1] in ("set", "explain", "history", "rollback") else []
    return run_idlrt([*arguments, *timeout], code=code, environment=environment)


def found(*arguments: str, code: int = 0) -> Any:
    return json.loads(idlrt(*arguments, "--json", code=code).stdout)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.fixture
def own() -> Iterator[tuple[str, Registry]]:
    with RegistryServer() as server:
        url = f"{server.url}?timeout=60"
        with Registry.connect(url, cache=False, timeout=TIMEOUT) as owner:
            yield url, owner


@pytest.fixture
def idl(tmp_path: Path) -> str:
    file = tmp_path / "users.thrift"
    file.write_text(IDL)
    return str(file)


@pytest.fixture
def client(tmp_path: Path) -> str:
    file = tmp_path / "client.toml"
    file.write_text(
        '[caller]\nzone = "eu-1"\n[defaults]\ntimeout = 2.0\n'
        '[services.Users]\nmethods.get.fault = "hedge"\nhedge.delay = 0.02\n'
    )
    return str(file)


# Keys.


def test_all_keys_are_listed() -> None:
    names = [each["name"] for each in found("config", "keys")]
    assert names == [key.name for key in describe()]
    text = idlrt("config", "keys").stdout
    assert all(f"{name}  (" in text for name in names)


def test_keys_that_begin_with_something() -> None:
    text = idlrt("config", "keys", "retries").stdout
    assert text.splitlines()[0] == "retries  (integer, 0 to 100, default 2)"
    assert text.splitlines()[1].startswith("    maximum number of retries of calls")
    assert {each["name"].partition(".")[0] for each in found("config", "keys", "hedge")} == {"hedge"}
    table = idlrt("config", "keys", "backoff", "--markdown").stdout.splitlines()
    assert table[0] == "| key | type, unit, range | default | description |"
    assert table[2].startswith("| `backoff.base_delay` | seconds, >= 0 | `0.025` | pause before the first retry.")
    done = idlrt("config", "keys", "nosuch", code=2)
    assert done.stderr.startswith("idlrt: no key starts with 'nosuch' (known: admission, ")


# Files.


def test_a_file_is_checked(client: str, tmp_path: Path) -> None:
    assert idlrt("config", "check", client).stdout == f"{client}: OK (1 service)\n"
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[services.Users]\ntimeot = 1\nretries = -1\n[server]\nretries = 1\n")
    done = idlrt("config", "check", str(wrong), code=2)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == f"idlrt: {wrong}: 3 problems:"
    assert lines[1] == "  services.Users.timeot: unknown key; did you mean 'timeout'?"
    wrong.write_text("[here\n")
    assert "invalid TOML" in idlrt("config", "check", str(wrong), code=2).stderr
    assert "does not exist" in idlrt("config", "check", "nowhere.toml", code=2).stderr


def test_deprecated_keys_in_a_file_are_findings(tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text("[defaults]\nbreaker.errors = 0.5\n[services.A]\npanic = 0.1\n[services.B]\n")
    found = idlrt("config", "check", str(file))
    assert found.stdout.splitlines() == [
        f"{file}: defaults.breaker.errors is deprecated: use breaker.failure_ratio",
        f"{file}: services.A.panic is deprecated: use panic_threshold",
        f"{file}: OK (2 services, 2 deprecated keys)",
    ]
    assert found.stderr == ""
    assert idlrt("config", "check", "--strict", str(file), code=1).stdout == found.stdout
    file.write_text("[defaults]\nbreaker.errors = 0.5\nbreaker.failure_ratio = 0.5\n")
    error = idlrt("config", "check", str(file), code=2).stderr
    assert error == (
        f"idlrt: {file}: defaults.breaker.errors: also set as breaker.failure_ratio, its current name; "
        "remove breaker.errors\n"
    )


def test_keys_are_found_by_their_old_names() -> None:
    text = idlrt("config", "keys", "breaker.errors").stdout
    assert text.splitlines()[0] == (
        "breaker.failure_ratio  (number, > 0 and <= 1, default 0.5; formerly breaker.errors)"
    )


# Effective settings.


def test_config_explain_shows_values_and_their_origin(own: tuple[str, Registry], idl: str, client: str) -> None:
    url, owner = own
    change(owner, "Users", {"retries": "0", "timeout": "9", "limiter.rate": "5", "limiter.enabled": "false"})
    given = ("config", "explain", "--service", "Users", "--method", "get", "--registry", url, "--config", client)
    said = {each["key"]: (each["value"], each["origin"]) for each in found(*given, "--idl", idl)}
    assert said["timeout"] == (2.0, f"{client}, defaults")
    assert said["retries"] == (0, url)
    assert said["fault"] == ("hedge", f"{client}, services.Users, methods.get")
    assert said["hedge.delay"] == (0.02, f"{client}, services.Users")
    assert said["balancer"] == ("p2c", "default")
    assert said["limiter.enabled"] == (False, url)
    assert "stale.max_age" not in said
    assert "stale.max_age" in {each["key"] for each in found(*given, "--all")}
    table = idlrt(*given).stdout.splitlines()
    assert table[0].split() == ["KEY", "VALUE", "SOURCE"]
    assert table[1].split()[:2] == ["timeout", "2.0"]


def test_config_explain_without_a_registry_and_from_the_environment(idl: str, client: str) -> None:
    given = ("config", "explain", "--service", "Users", "--method", "get", "--json")
    values = {each["key"]: each for each in json.loads(idlrt(*given, "--idl", idl).stdout)}
    assert {each["origin"] for each in values.values()} == {"default"}
    assert (values["timeout"]["value"], values["retries"]["value"]) == (5.0, 2)
    values = {each["key"]: each for each in json.loads(idlrt(*given, IDLRT_CONFIG=client).stdout)}
    assert values["timeout"]["value"] == 2.0


def test_settings_that_are_wrong_are_told_instead_of_explained(own: tuple[str, Registry]) -> None:
    url, owner = own
    owner.configure("Users", {"timeot": "1"})
    done = idlrt("config", "explain", "--service", "Users", "--registry", url, code=2)
    assert f"settings of Users in {url}: timeot: unknown key; did you mean 'timeout'?" in done.stderr


# Changes.


def test_settings_are_set_and_taken_back(own: tuple[str, Registry]) -> None:
    url, owner = own
    said = idlrt("config", "set", url, "Users", "fault=hedge", "methods.get.timeout=0.2", "--note", "try").stdout
    assert said == "version 1: fault=hedge methods.get.timeout=0.2\n"
    second = found("config", "set", url, "Users", "fault=", "retries=0")
    assert (second["version"], second["settings"]) == (2, {"methods.get.timeout": "0.2", "retries": "0"})
    table = rows(idlrt("config", "history", url, "Users").stdout)
    assert table[0] == ["VERSION", "TIME", "(UTC)", "USER", "NOTE", "SETTINGS"]
    assert [row[0] for row in table[1:]] == ["0", "1", "2"]
    assert "try" in table[2]
    assert [each["version"] for each in found("config", "history", url, "Users")] == [0, 1, 2]
    assert idlrt("config", "rollback", url, "Users").stdout == "version 3: fault=hedge methods.get.timeout=0.2\n"
    assert found("config", "rollback", url, "Users", "--to", "2", "--note", "no")["settings"] == second["settings"]
    assert history(owner, "Users")[-1].note == "no"
    assert idlrt("config", "set", url, "Users", "--group", "gray", "retries=1").stdout == "version 1: retries=1\n"
    assert len(history(owner, "Users")) == 5, "another group"


def test_old_names_are_written_until_another_key_format_is_selected(own: tuple[str, Registry], tmp_path: Path) -> None:
    url, owner = own
    done = idlrt("config", "set", url, "Users", "breaker.failure_ratio=0.3", "panic=0.4")
    assert done.stdout == "version 1 (key format 0.1): breaker.errors=0.3 panic=0.4\n"
    assert done.stderr == "idlrt: panic is deprecated: use panic_threshold\n"
    given = ("config", "explain", "--service", "Users", "--registry", url)
    origins = {each["key"]: each["origin"] for each in found(*given)}
    assert origins["breaker.failure_ratio"] == f"{url} (as breaker.errors)"
    done = idlrt("config", "set", url, "Users", "--key-format", "0.2")
    assert done.stdout == "version 2 (key format 0.2): breaker.failure_ratio=0.3 panic_threshold=0.4\n"
    assert {each["key"]: each["origin"] for each in found(*given)}["breaker.failure_ratio"] == url
    file = tmp_path / "users.toml"
    file.write_text("[breaker]\nerrors = 0.2\n")
    done = idlrt("config", "set", url, "Users", "--file", str(file))
    assert done.stdout == "version 3 (key format 0.2): breaker.failure_ratio=0.2\n"
    assert [each["format"] for each in found("config", "history", url, "Users")] == ["0.1", "0.1", "0.2", "0.2"]
    both = ("breaker.errors=0.1", "breaker.failure_ratio=0.1")
    error = idlrt("config", "set", url, "Users", *both, code=2).stderr
    assert "breaker.errors: also set as breaker.failure_ratio, its current name; remove breaker.errors" in error
    assert history(owner, "Users")[-1].version == 3


def test_settings_are_set_from_a_file_as_a_whole(own: tuple[str, Registry], tmp_path: Path) -> None:
    url, owner = own
    change(owner, "Users", {"retries": "1"})
    file = tmp_path / "users.toml"
    file.write_text('timeout = 2\n[hedge]\ndelay = 0.1\n[limiter]\n[[routes]]\nrouter = "zone"\n')
    written = found("config", "set", url, "Users", "--file", str(file), "fault=hedge")
    assert written["settings"] == {
        "timeout": "2",
        "hedge.delay": "0.1",
        "limiter.enabled": "true",
        "routes": '[{"router":"zone"}]',
        "fault": "hedge",
    }
    other = tmp_path / "users.json"
    other.write_text('{"retries": 3}')
    assert found("config", "set", url, "Users", "--file", str(other))["settings"] == {"retries": "3"}


WRONG: list[tuple[list[str], str]] = [
    (["config", "set", "URL", "Users"], "cannot change settings: give KEY=VALUE or --file"),
    (["config", "set", "URL", "Users", "retries"], "cannot change settings: expected KEY=VALUE, got 'retries'"),
    (["config", "set", "URL", "Users", "=1"], "cannot change settings: expected KEY=VALUE, got '=1'"),
    (["config", "set", "URL", "Users", "timeot=1"], "of Users: timeot: unknown key; did you mean 'timeout'?"),
    (["config", "set", "URL", "Users", "retries=0", "fault=x"], "of Users: fault: unknown fault mode 'x'"),
    (["config", "set", "URL", "Users", "config.version=7"], "cannot set config.version: reserved for"),
    (["config", "set", "URL", "Users", "--file", "FILE"], "FILE: services.Users: unknown table 'services'"),
    (["config", "set", "URL", "Users", "--file", "NOWHERE"], "does not exist"),
    (["config", "rollback", "URL", "Users"], "cannot roll back the settings of Users: there is no earlier version"),
    (["config", "rollback", "URL", "Users", "--to", "9"], "settings of Users: unknown version 9 (known: 0)"),
    (["config", "explain", "--service", "Users", "--method", "x", "--idl", "IDL"], "x"),
    (["config", "explain"], "Missing option '--service'"),
    (["config", "history", "nowhere", "Users"], "write scheme://host:port"),
    (["route", "explain", "--service", "Users"], "cannot explain routes without a registry: give --registry URL"),
    (["route", "explain", "--service", "Users", "--registry", "URL", "--argument", "x"], "expected NAME=VALUE, got"),
    (["route", "motan", "FILE", "--service", "Users"], "Motan"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(each)[:50] for each, _ in WRONG])
def test_wrong_usage_is_told_and_changes_nothing(
    own: tuple[str, Registry], idl: str, tmp_path: Path, arguments: list[str], said: str
) -> None:
    url, owner = own
    (tmp_path / "wrong.toml").write_text("[services.Users]\nretries = 1\n")
    names = {"URL": url, "FILE": str(tmp_path / "wrong.toml"), "NOWHERE": "nowhere.toml", "IDL": idl}
    done = idlrt(*[names.get(each, each) for each in arguments], code=2)
    assert said.replace("FILE", names["FILE"]) in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert owner.instances("Users").settings == {}


# Routes.


@pytest.fixture
def fleet(own: tuple[str, Registry]) -> str:
    url, owner = own
    kinds: list[dict[str, Any]] = [{"zone": "eu-1"}, {"zone": "us-1"}, {"tags": {"tag": "gray"}}]
    for number, more in enumerate(kinds, 1):
        owner.register(Instance(service="Users", host=f"10.0.0.{number}", port=9090, **more)).wait()
    owner.register(Instance(service="Users", host="10.0.1.1", port=9090, group="green")).wait()
    return url


def test_where_calls_go_and_why(fleet: str, client: str) -> None:
    given = ("route", "explain", "--registry", fleet, "--service", "Users")
    assert sorted(found(*given)["instances"]) == ["10.0.0.1:9090", "10.0.0.2:9090"]
    gray = found(*given, "--tag", "gray")
    assert gray["instances"] == {"10.0.0.3:9090": 1}
    assert gray["steps"][0] == {
        "router": "tag", "rule": "", "why": "the call has the tag gray", "before": 3, "after": 1,
    }  # fmt: skip
    assert list(found(*given, "--zone", "us-1")["instances"]) == ["10.0.0.2:9090"]
    assert list(found(*given, "--config", client)["instances"]) == ["10.0.0.1:9090"]
    text = idlrt(*given, "--tag", "gray").stdout
    assert text.splitlines()[0].split() == ["ROUTER", "RULE", "INSTANCES", "REASON"]
    assert text.splitlines()[-1] == "  10.0.0.3:9090"


def test_rules_of_the_registry_are_explained(fleet: str, own: tuple[str, Registry], idl: str) -> None:
    url, owner = own
    rules = [
        {"name": "moving", "router": "group", "mix": {"default": 50, "green": 50}, "when": "method = put"},
        {"name": "pinned", "when": "argument.id = 7", "to": "host = 10.0.0.2", "force": True},
    ]
    change(owner, "Users", {"routes": to_text(rules)})
    given = ("route", "explain", "--registry", url, "--service", "Users")
    put = found(*given, "--method", "put", "--calls", "400")
    assert 100 < put["instances"]["10.0.1.1:9090"] < 300
    assert list(found(*given, "--method", "get", "--argument", "id=7", "--idl", idl)["instances"]) == ["10.0.0.2:9090"]
    assert "10.0.0.2:9090" in found(*given, "--method", "get", "--argument", "id=8")["instances"]
    owner.modify("Users", "10.0.0.2:9090", status=Status.DISABLED)
    nobody = found(*given, "--method", "get", "--argument", "id=7", code=1)
    assert nobody["instances"] == {}
    assert "pinned" in nobody["why"]
    assert nobody["why"] in idlrt(*given, "--method", "get", "--argument", "id=7", code=1).stdout


def test_route_explain_without_instances(own: tuple[str, Registry]) -> None:
    done = idlrt("route", "explain", "--registry", own[0], "--service", "Nobody", code=1)
    assert "no instance of Nobody is known" in done.stdout


def test_route_explain_with_all_instances_out_of_rotation(fleet: str, own: tuple[str, Registry]) -> None:
    url, owner = own
    registered = owner.instances("Users").instances
    for each in registered:
        owner.modify("Users", each.id, status=Status.DISABLED)
    done = idlrt("route", "explain", "--registry", url, "--service", "Users", code=1)
    assert f"no instance of Users is in rotation: {len(registered)} registered, none available" in done.stdout


def test_commands_of_motan_become_rules_that_can_be_set(own: tuple[str, Registry], tmp_path: Path) -> None:
    url, _ = own
    file = tmp_path / "commands.json"
    command = {
        "index": 1, "version": "1.0", "dc": "", "commandType": 0, "pattern": "com.example.*",
        "mergeGroups": ["blue:90", "green:10"], "routeRules": ["10.0.0.* to 10.0.1.*"], "remark": "moving",
    }  # fmt: skip
    file.write_text(json.dumps({"clientCommandList": [command]}))
    done = idlrt("route", "motan", str(file), "--service", "com.example.Users")
    rules = json.loads(done.stdout)
    assert rules[0]["mix"] == {"blue": 90, "green": 10}
    assert json.loads(idlrt("route", "motan", str(file), "--service", "org.other.Users").stdout) == []
    written = found("config", "set", url, "Users", f"routes={json.dumps(rules)}")
    assert json.loads(written["settings"]["routes"]) == rules
