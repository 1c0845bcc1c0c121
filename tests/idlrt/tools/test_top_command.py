"""`idlrt monitor top` with real servers in processes: figures as text and JSON, registries, tokens, TLS, failures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import Result
from command_line import run_idlrt
from eventually import TIMEOUT, eventually
from free_ports import free_port
from hand_written import Users, UserServiceClient, user_service
from server_process import ServerProcess, server_process

from idlrt import Admin, Server, Tls
from idlrt.cli.monitor import top
from idlrt.core import Instance
from idlrt.embedded import RegistryServer
from idlrt.registry import Registry
from idlrt.tools.top import COLUMNS, NAME

# Real servers and processes.
pytestmark = pytest.mark.slow

WAIT = ("--timeout", f"{TIMEOUT:g}")
ONCE = ("--once", "--interval", "0.05", *WAIT)
SINCE = ("--once", "--since-start", *WAIT)


def idlrt(*arguments: str, code: int = 0, environment: dict[str, str] | None = None) -> Result:
    return run_idlrt(["monitor", "top", *arguments], code=code, environment=environment)


def found(*arguments: str) -> Any:
    return json.loads(idlrt(*arguments, "--json").stdout)


@pytest.fixture
def servers() -> Iterator[list[ServerProcess]]:
    with server_process() as first, server_process() as second:
        first.call(60, failing=20)
        second.call(40)
        yield [first, second]


def rows(report: Any, name: str = "method") -> dict[str, int]:
    return {each["labels"][name]: each["pv"] for each in report["rows"]}


def test_figures_of_all_instances_are_exact(servers: list[ServerProcess]) -> None:
    urls = [each.admin for each in servers]
    since = found(*SINCE, *urls)["since_start"]
    assert (since["total"]["pv"], since["total"]["errors"]) == (120, 20)
    assert rows(since) == {"UserService.get": 120}
    by_instance = found(*SINCE, *urls, "--by", "instance")["since_start"]
    assert rows(by_instance, "instance") == {
        servers[0].address.removeprefix("tcp://"): 80,
        servers[1].address.removeprefix("tcp://"): 40,
    }
    lines = idlrt(*SINCE, *urls).stdout.splitlines()
    assert "2 of 2 up  since the start" in lines[0]
    assert lines[1].split()[:4] == ["METHOD", "PV", "QPS", "ERR%"]
    assert [lines[2].split()[at] for at in (0, 1, 3)] == ["UserService.get", "120", "16.7"]


def test_json_has_the_documented_fields(servers: list[ServerProcess]) -> None:
    output = found(*ONCE, servers[0].admin)
    assert list(output) == ["at", "side", "by", "instances", "in_flight", "interval", "since_start"]
    (instance,) = output["instances"]
    assert list(instance) == ["name", "url", "is_up", "error", "started_at"]
    assert instance["url"] == f"http://{servers[0].admin}"
    for report in (output["interval"], output["since_start"]):
        assert list(report) == ["at", "period_s", "side", "by", "total", "rows"]
    assert output["interval"]["total"]["pv"] == 0
    assert output["since_start"]["period_s"] > output["interval"]["period_s"] >= 0.05
    assert found(*SINCE, servers[0].admin)["interval"] is None


def test_the_interval_has_what_was_added(servers: list[ServerProcess]) -> None:
    command = [sys.executable, "-m", "idlrt", "monitor", "top", servers[0].admin, "--interval", "0.05", *WAIT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "since the start" in first
        servers[0].call(100)
        while True:
            line = process.stdout.readline().split()
            if line and line[0] == "UserService.get" and line[1] == "180" and line[2] == "0":
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, "Ctrl+C is the way to end it"


def test_an_instance_that_is_killed_does_not_disturb_the_others(servers: list[ServerProcess]) -> None:
    first, second = servers
    urls = [first.admin, second.admin]
    first.kill()
    output = found(*SINCE, *urls)
    assert [each["is_up"] for each in output["instances"]] == [False, True]
    assert output["since_start"]["total"]["pv"] == 40
    lines = idlrt(*ONCE, *urls).stdout.splitlines()
    assert "1 of 2 up" in lines[0]
    assert lines[1] == f"! {first.admin}: connection refused"
    first.start()
    first.call(7)
    assert found(*SINCE, *urls)["since_start"]["total"]["pv"] == 47


def test_without_any_instance_the_exit_code_is_2_with_each_reason(servers: list[ServerProcess]) -> None:
    for each in servers:
        each.kill()
    for more in (SINCE, ONCE, ("--once", "--json", *WAIT), WAIT):
        done = idlrt(*more, *(each.admin for each in servers), code=2)
        assert done.stdout == ""
        assert sorted(done.stderr.splitlines()) == sorted(
            [
                *(f"idlrt: {each.admin}: connection refused" for each in servers),
                "idlrt: no metrics could be read (2 instances)",
            ]
        )


def test_sides_sorting_filter_and_limit(servers: list[ServerProcess]) -> None:
    with UserServiceClient.connect(servers[0].address) as client:
        for _ in range(3):
            client.ping()
        client.join(["a"])
    url = servers[0].admin
    assert list(rows(found(*SINCE, url, "--sort", "pv")["since_start"]).values()) == [80, 3, 1]
    assert list(rows(found(*SINCE, url, "--sort", "name")["since_start"])) == [
        "UserService.get",
        "UserService.join",
        "UserService.ping",
    ]
    assert list(rows(found(*SINCE, url, "--sort", "errors", "--limit", "1")["since_start"])) == ["UserService.get"]
    assert list(rows(found(*SINCE, url, "--filter", "PING")["since_start"])) == ["UserService.ping"]
    statuses = found(*SINCE, url, "--by", "status")["since_start"]
    assert rows(statuses, "status") == {"internal": 20, "ok": 64}
    assert found(*SINCE, url, "--side", "client")["since_start"]["total"]["pv"] == 0


def test_a_token_is_needed_where_there_is_one() -> None:
    with server_process(token="secret") as server:
        server.call(3)
        done = idlrt(*SINCE, server.admin, code=2)
        assert "status 401: the token is missing or wrong; pass --token, or set IDLRT_ADMIN_TOKEN" in done.stderr
        assert "120" not in done.stdout
        assert found(*SINCE, server.admin, "--token", "secret")["since_start"]["total"]["pv"] == 3
        environment = {"IDLRT_ADMIN_TOKEN": "secret"}
        assert " 3 " in idlrt(*SINCE, server.admin, environment=environment).stdout
        done = idlrt(*SINCE, server.admin, "--token", "wrong", code=2, environment=environment)
        assert "wrong" not in done.stderr.replace("missing or wrong", "")
        assert "must consist of printable ASCII" in idlrt(server.admin, "--token", "a\nb", code=2).stderr


def test_tls_and_unix_sockets(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    tls = Tls(certificate=str(tmp_path / "server.pem"))
    with Server(user_service(Users()), admin=Admin("127.0.0.1:0", tls=tls)).start() as server:
        url = server.admin_address.replace("127.0.0.1", "localhost")
        assert url.startswith("https://")
        assert found(*SINCE, url, "--ca", str(tmp_path / "ca.pem"))["instances"][0]["is_up"]
        assert "certificate verification failed" in idlrt(*SINCE, url, code=2).stderr
        assert "if it has TLS, write https://" in idlrt(*SINCE, url.removeprefix("https://"), code=2).stderr
        assert "cannot load" in idlrt(*SINCE, url, "--ca", str(tmp_path / "none.pem"), code=2).stderr
    path = f"unix:{tmp_path}/admin.sock"
    with Server(user_service(Users()), admin=path).start() as server:
        with UserServiceClient.connect(server.address) as client:
            client.get(1)
        assert found(*SINCE, path)["since_start"]["total"]["pv"] == 1


def test_servers_without_figures_and_other_programs() -> None:
    with Server(user_service(Users()), admin=0, metrics=False).start() as server:
        done = idlrt(*SINCE, server.admin_address, code=2)
        assert "status 404: it has no page /cells; the server must measure calls" in done.stderr
        done = idlrt(*SINCE, server.address.removeprefix("tcp://"), code=2)
        assert "idlrt: no metrics could be read (1 instance)\n" in done.stderr


def test_all_instances_of_a_service_of_a_registry() -> None:
    with RegistryServer() as registry, Registry.connect(registry.url, cache=False) as client:
        target = f"{registry.url}/UserService?group=blue"
        options = {"registry": registry.url, "instance": {"group": "blue"}}
        with server_process(**options) as first, server_process(**options) as second:
            silent = Instance(service="UserService", group="blue", host="127.0.0.1", port=free_port())
            client.register(silent).wait(TIMEOUT)
            first.call(5)
            second.call(6)
            eventually(lambda: len(client.instances("UserService", "blue").instances) == 3)
            output = found(*SINCE, target)
            assert output["since_start"]["total"]["pv"] == 11
            assert {each["name"]: each["is_up"] for each in output["instances"]} == {
                first.address.removeprefix("tcp://"): True,
                second.address.removeprefix("tcp://"): True,
                silent.id: False,
            }
            lines = idlrt(*SINCE, target).stdout.splitlines()
            assert lines[1].startswith(f"! {silent.id}: it announces no admin port; start the server with admin=")
            twice = found(*SINCE, target, first.admin)
            assert twice["since_start"]["total"]["pv"] == 11, "an instance counts once"
        assert (
            idlrt(*SINCE, f"{registry.url}/Nothing", code=2).stderr == "idlrt: no metrics could be read (0 instances)\n"
        )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "Missing argument 'URL...'"),
        (["--json", "9901"], "--json requires --once"),
        (["--by", "nothing", "9901"], "'nothing' is not one of"),
        (["--interval", "0", "9901"], "must be between"),
        (["http://me:secret@a:1"], "must not contain a user"),
        (["embedded://127.0.0.1:7400"], "a service is missing, as in embedded://127.0.0.1:7400/UserService"),
        (["ftp://a/b"], "ftp"),
        (["tcp://127.0.0.1:9090"], "expected an admin URL, or a service of a registry"),
    ],
    ids=str,
)
def test_usage_errors(arguments: list[str], why: str) -> None:
    done = idlrt(*arguments, code=2)
    assert why in done.stderr
    assert "secret" not in done.stderr


def test_a_dimension_that_a_side_lacks(servers: list[ServerProcess]) -> None:
    done = idlrt(*SINCE, servers[0].admin, "--by", "target", code=2)
    assert "server figures have no dimension 'target'" in done.stderr


def test_columns_can_be_sorted_by() -> None:
    (sort,) = [each for each in top.params if each.name == "sort"]
    assert set(sort.type.choices) == {NAME, *(each.key for each in COLUMNS)}  # type: ignore[attr-defined]
