"""The commands `idlrt registry ...`, with the embedded registry and others; long-running ones in a separate process."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import Result
from command_line import run_idlrt
from etcd_server import etcd_cluster
from eventually import TIMEOUT
from free_ports import free_port
from registry_process import RegistryProcess, registry_process
from zookeeper_server import running_zookeeper

from idlrt.config.store import rollback
from idlrt.core import Instance
from idlrt.embedded import RegistryServer
from idlrt.registry import Registry

# Real servers and processes.
pytestmark = pytest.mark.slow

LISTED = {"thrift": ("binary", "compact")}
ADA = Instance(
    service="Users", host="10.0.0.7", port=9090, version="1.2", zone="eu-1", tags={"team": "a"}, rpc_protocols=LISTED
)
BOB = Instance(service="Users", host="10.0.0.8", port=9090, weight=50)
EVE = Instance(service="Orders", host="10.0.0.9", port=9090, group="gray")
SLOW = pytest.mark.slow


def idlrt(*arguments: str, code: int = 0) -> Result:
    is_timed = arguments[0] not in ("serve", "watch") and "--timeout" not in arguments
    return run_idlrt(["registry", *arguments, *(["--timeout", f"{TIMEOUT:g}"] if is_timed else [])], code=code)


def found(*arguments: str) -> Any:
    return json.loads(idlrt(*arguments, "--json").stdout)


class Running:
    """A command that goes on."""

    def __init__(self, *arguments: str) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "idlrt", "registry", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def until(self, text: str) -> str:
        """The next line with `text` in it."""
        seen: list[str] = []
        while True:
            try:
                seen.append(self._lines.get(timeout=TIMEOUT))
            except queue.Empty:
                raise AssertionError(f"there was no {text!r} in {seen}") from None
            if text in seen[-1]:
                return seen[-1]

    def rest(self) -> list[str]:
        self._reader.join()
        return [self._lines.get() for _ in range(self._lines.qsize())]

    def end(self, number: int) -> str:
        """Send a signal; what was said on standard error."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> str:
        assert self._process.wait(TIMEOUT) == 0
        self._reader.join()
        assert self._process.stderr is not None
        errors = self._process.stderr.read()
        assert "Traceback" not in errors
        return errors

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Running]:
    made = Running(*arguments)
    try:
        yield made
    finally:
        made.close()


def long(url: str) -> str:
    """For sessions that do not end while a test runs, however busy the machine is."""
    return f"{url}{'&' if '?' in url else '?'}timeout=60"


def connect(url: str) -> Registry:
    return Registry.connect(url, cache=False, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A registry with three instances; what is set of them stays between tests."""
    with RegistryServer() as server, connect(long(server.url)) as owner:
        for each in (ADA, BOB, EVE):
            owner.register(each).wait()
        yield long(server.url)


@pytest.fixture
def own() -> Iterator[tuple[str, Registry]]:
    """A registry with one instance, to be changed."""
    with RegistryServer() as server, connect(long(server.url)) as owner:
        owner.register(ADA).wait()
        yield long(server.url), owner


# To look.


def test_services_are_listed(url: str) -> None:
    lines = idlrt("services", url).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["GROUP", "SERVICE", "INSTANCES", "CALLABLE", "SETTINGS"],
        ["default", "Users", "2", "2"],
        ["gray", "Orders", "1", "1"],
    ]
    assert len({line.index(word) for line, word in zip(lines, ("SERVICE", "Users", "Orders"), strict=True)}) == 1
    assert found("services", url, "--group", "gray") == [
        {"group": "gray", "service": "Orders", "instances": 1, "callable": 1, "settings": {}}
    ]
    assert found("services", url, "--group", "nobody") == []


def test_instances_are_listed(url: str) -> None:
    lines = idlrt("instances", url, "Users").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["ID", "ADDRESS", "STATUS", "WEIGHT", "ZONE", "VERSION", "PROTOCOLS", "TAGS"],
        [
            "10.0.0.7:9090",
            "10.0.0.7:9090",
            "up",
            "100",
            "eu-1",
            "1.2",
            "thrift=binary,compact",
            "team=a",
        ],
        ["10.0.0.8:9090", "10.0.0.8:9090", "up", "50"],
    ]
    snapshot = found("instances", url, "Users")
    assert [each["id"] for each in snapshot["instances"]] == [ADA.id, BOB.id]
    assert [each["rpc_protocols"] for each in snapshot["instances"]] == [
        {"thrift": ["binary", "compact"]},
        {},
    ]
    assert snapshot["freshness"] == "live"
    assert idlrt("instances", url, "Orders").stdout.count("\n") == 1, "they are in another group"
    assert found("instances", url, "Orders", "--group", "gray")["instances"][0]["host"] == "10.0.0.9"


def test_all_is_exported(url: str) -> None:
    exported = json.loads(idlrt("export", url).stdout)
    assert [(each["key"], len(each["instances"])) for each in exported] == [
        ({"service": "Users", "group": "default"}, 2),
        ({"service": "Orders", "group": "gray"}, 1),
    ]


# To change.


def test_an_instance_is_disabled_and_enabled(own: tuple[str, Registry]) -> None:
    url, owner = own
    assert "disabled" in idlrt("disable", url, "Users", ADA.id).stdout.splitlines()[1]
    assert owner.instances("Users").callable == ()
    assert found("services", url)[0]["callable"] == 0
    assert found("enable", url, "Users", ADA.id)["status"] == "up"
    assert len(owner.instances("Users").callable) == 1


def test_an_instance_is_changed_and_changed_back(own: tuple[str, Registry]) -> None:
    url, owner = own
    said = ("--weight", "7", "--tag", "gray=yes", "--tag", "team=", "--status", "draining")
    changed = found("set", url, "Users", ADA.id, *said)
    assert (changed["weight"], changed["tags"], changed["status"]) == (7, {"gray": "yes"}, "draining")
    assert owner.instances("Users").instances[0].weight == 7
    # What is said later counts beside what was said before.
    assert found("set", url, "Users", ADA.id, "--weight", "8")["tags"] == {"gray": "yes"}
    both = found("set", url, "Users", ADA.id, "--reset", "--weight", "9", "--setting", "balancer=p2c")
    assert both["settings"] == {"balancer": "p2c"}
    assert both["instance"]["tags"] == {"team": "a"}
    assert both["instance"]["weight"] == 9
    assert found("set", url, "Users", ADA.id, "--reset")["weight"] == 100


def test_settings_of_a_service(own: tuple[str, Registry]) -> None:
    url, owner = own
    routes = 'routes=[{"to":"version = 1"}]'
    given = ("--setting", "retries=1", "--setting", routes)
    assert idlrt("set", url, "Users", *given).stdout == f"Users: retries=1 {routes}\n"
    assert found("set", url, "Users", "--setting", "retries=") == {"routes": routes.partition("=")[2]}
    assert owner.instances("Users").settings["routes"] == routes.partition("=")[2]
    assert routes in idlrt("services", url).stdout
    assert idlrt("set", url, "Users", "--setting", "routes").stdout == "Users: no settings\n"


def test_unknown_and_reserved_settings_are_rejected(own: tuple[str, Registry]) -> None:
    url, owner = own
    done = idlrt("set", url, "Users", "--setting", "retries=1", "--setting", "timeot=1", code=2)
    assert "settings of Users: timeot: unknown key; did you mean 'timeout'?" in done.stderr
    done = idlrt("set", url, "Users", "--setting", "config.version=1", code=2)
    assert "cannot set config.version: reserved for the history of the settings" in done.stderr
    assert owner.instances("Users").settings == {}


def test_settings_have_a_history(own: tuple[str, Registry]) -> None:
    url, owner = own
    idlrt("set", url, "Users", "--setting", "retries=1")
    idlrt("set", url, "Users", "--setting", "retries=2")
    assert rollback(owner, "Users").settings == {"retries": "1"}


WRONG: list[tuple[list[str], str]] = [
    (["disable", "URL", "Users", "nobody"], "there is no instance 'nobody' of Users at"),
    (["enable", "URL", "Users", "nobody"], "known instances: 10.0.0.7:9090, 10.0.0.8:9090"),
    (["set", "URL", "Users", "nobody", "--reset"], "known instances: 10.0.0.7:9090, 10.0.0.8:9090"),
    (["disable", "URL", "Nothing", "x"], "known instances: none"),
    (["set", "URL", "Users", ADA.id, "--tag", "=x"], "invalid value '=x': expected NAME=VALUE"),
    (["set", "URL", "Users", ADA.id, "--weight", "1000001"], "must be between 0 and 1000000, got 1000001"),
    (["set", "URL", "Users", ADA.id, "--weight", "-1"], "must be between 0 and 1000000, got -1"),
    (["set", "URL", "Users", ADA.id, "--weight", "x"], "'x' is not a valid integer"),
    (["set", "URL", "Users", ADA.id, "--status", "gone"], "'gone' is not one of 'up', 'draining', 'disabled'"),
    (["set", "URL", "Users", "--weight", "1"], "missing INSTANCE, as in: idlrt registry set URL SERVICE INSTANCE"),
    (["set", "URL", "Users"], "nothing to set: pass --weight"),
    (["instances", "URL"], "Missing argument 'SERVICE'"),
    (["instances", "URL", "a/b"], "'a/b'; use at most 255 letters, digits"),
    (["services", "URL", "--timeout", "0"], "must be between 1e-09 and 2000000 seconds, got 0"),
    (["watch", "URL", "Users", "--for", "-1"], "must be 0, or between 1e-09 and 2000000 seconds, got -1"),
    (["services", "nosuch://x"], "'nosuch' (known: dns, embedded, etcd, memory, static, zookeeper"),
    (["services", "127.0.0.1:7400"], "write scheme://host:port, for example embedded://127.0.0.1:7400"),
    (["services", "URL&nope=1"], "unknown option 'nope' (known: ca, cert, key, timeout, tls, token)"),
    (["services", "dns://127.0.0.1:1/"], "a DNS registry only supports looking up instances"),
    (["serve", "--address", "nowhere"], "missing port"),
    (["serve", "--access", "nowhere.toml"], "'nowhere.toml' does not exist"),
    (["serve", "--tls-ca", "ca.pem"], "--tls-key and --tls-ca require --tls-cert"),
    (["serve", "--address", "127.0.0.1:0", "--tls-cert", "nowhere.pem"], "cannot load nowhere.pem for TLS"),
]


@SLOW
@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(each)[:40] for each, _ in WRONG])
def test_wrong_usage_is_told(url: str, arguments: list[str], said: str) -> None:
    done = idlrt(*[each.replace("URL", url) for each in arguments], code=2)
    assert said in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_what_is_wrong_changes_nothing(own: tuple[str, Registry]) -> None:
    url, owner = own
    for wrong in (["nobody"], [ADA.id, "--tag", "=x"], [ADA.id, "--reset", "--weight", "-1"]):
        idlrt("set", url, "Users", *wrong, "--setting", "retries=1", "--status", "disabled", code=2)
    assert owner.instances("Users").instances == (ADA,)
    assert owner.instances("Users").settings == {}


NOBODY = [
    (["services"], "embedded://127.0.0.1:PORT"),
    (["instances", "Users"], "embedded://127.0.0.1:PORT"),
    (["export"], "embedded://127.0.0.1:PORT"),
    (["disable", "Users", "x"], "embedded://127.0.0.1:PORT"),
    (["services"], "zookeeper://127.0.0.1:PORT"),
    (["services"], "etcd://127.0.0.1:PORT"),
    (["instances", "Users"], "dns://127.0.0.1:PORT?port=1"),
]


@SLOW
@pytest.mark.parametrize(("arguments", "where"), NOBODY, ids=[f"{each[0]} {where[:8]}" for each, where in NOBODY])
def test_commands_fail_when_no_registry_responds(arguments: list[str], where: str) -> None:
    where = where.replace("PORT", str(free_port()))
    command, *rest = arguments
    done = idlrt(command, where, *rest, "--timeout", "0.5", code=2)
    assert done.stderr.startswith(f"idlrt: {where} did not respond within 0.5 s")
    assert done.stderr.count("\n") == 1, "it is said once"


# To run one.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_registry_serves_until_a_signal(number: int) -> None:
    with running("serve", "--address", "127.0.0.1:0") as server:
        url = server.until("the registry is at embedded://127.0.0.1:").split()[-1]
        with connect(url) as owner:
            owner.register(ADA).wait()
            assert len(found("instances", url, "Users")["instances"]) == 1
        server.end(number)


def test_a_signal_that_comes_at_once() -> None:
    for _ in range(3):
        with running("serve", "--address", "127.0.0.1:0") as server:
            server.until("the registry is at")
            server.end(signal.SIGTERM)


def test_what_was_set_survives_a_restart(tmp_path: Path) -> None:
    with registry_process(tmp_path / "new" / "registry.db") as process:
        with connect(long(process.url)) as owner:
            owner.register(ADA).wait()
            idlrt("set", process.url, "Users", ADA.id, "--weight", "7", "--setting", "retries=1")
            before = idlrt("export", process.url).stdout
            process.kill()
            process.start()
            assert idlrt("export", process.url).stdout == before
        idlrt("serve", "--address", "127.0.0.1:0", "--data", str(tmp_path / "new" / "registry.db"), code=2)


def test_an_address_that_is_taken() -> None:
    with registry_process() as process:
        done = idlrt("serve", "--address", f"127.0.0.1:{process.port}", code=2)
        assert "Address already in use" in done.stderr


def test_a_white_list(tmp_path: Path) -> None:
    rules = tmp_path / "access.toml"
    rules.write_text('[register]\ntokens = ["server"]\n[administer]\ntokens = ["s3cret"]\n')
    with registry_process(None, "--access", str(rules)) as process:
        with connect(f"{process.url}?token=server") as owner:
            owner.register(ADA).wait()
            assert "10.0.0.7" in idlrt("instances", process.url, "Users").stdout
            done = idlrt("disable", process.url, "Users", ADA.id, code=2)
            assert "no permission to administer" in done.stderr
            idlrt("disable", f"{process.url}?token=s3cret", "Users", ADA.id)
            done = idlrt("disable", f"{process.url}?token=wr0ng", "Users", ADA.id, code=2)
            assert "wr0ng" not in done.stderr
        rules.write_text("[regsiter]\n")
        done = idlrt("serve", "--access", str(rules), code=2)
        assert "cannot read the access list" in done.stderr
        assert "regsiter" in done.stderr


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("server", "client"):
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(tmp_path / f"{name}.pem"), append=number > 0)
    options = ["--tls-cert", f"{tmp_path}/server.pem", "--tls-key", f"{tmp_path}/server.key"]
    with registry_process(None, *options, "--tls-ca", f"{tmp_path}/ca.pem") as process:
        trusting = f"{process.url}?tls=true&ca={tmp_path}/ca.pem"
        url = f"{trusting}&cert={tmp_path}/client.pem&key={tmp_path}/client.key"
        with connect(url) as owner:
            owner.register(ADA).wait()
            assert len(found("instances", url, "Users")["instances"]) == 1
        for wrong in (process.url, trusting, f"{process.url}?tls=true"):
            idlrt("services", wrong, "--timeout", "1", code=2)


# To follow.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_is_followed_until_a_signal(own: tuple[str, Registry], number: int) -> None:
    url, owner = own
    with running("watch", url, "Users") as watch:
        assert watch.until("instance").endswith("  1 instance")
        assert "+ 10.0.0.7:9090  10.0.0.7:9090  up  100  eu-1  1.2  thrift=binary,compact  team=a" in watch.until("+")
        bob = owner.register(BOB)
        watch.until("+ 10.0.0.8:9090")
        bob.update(weight=7)
        watch.until("~ 10.0.0.8:9090  10.0.0.8:9090  up  7")
        bob.deregister()
        watch.until("- 10.0.0.8:9090")
        owner.configure("Users", {"balancer": "p2c"})
        watch.until("settings: balancer=p2c")
        assert watch.end(number) == ""
        assert watch.rest() == []


def test_a_service_is_followed_as_json(own: tuple[str, Registry]) -> None:
    url, _ = own
    with running("watch", url, "Users", "--json") as watch:
        change = json.loads(watch.until("added"))
        assert [each["id"] for each in change["added"]] == [ADA.id]
        assert change["snapshot"]["freshness"] == "live"
        watch.end(signal.SIGTERM)


def test_a_service_is_followed_for_a_while(own: tuple[str, Registry]) -> None:
    # It would go on for ever.
    idlrt("watch", own[0], "Users", "--for", "0.1")


def test_a_watch_goes_on_through_a_restart() -> None:
    with registry_process() as process, connect(f"{process.url}?timeout=1.5") as owner:
        owner.register(ADA).wait()
        with running("watch", f"{process.url}?timeout=1.5", "Users") as watch:
            watch.until("+ 10.0.0.7:9090")
            process.kill()
            watch.until("(stale: not confirmed by the registry)")
            process.start()
            owner.register(BOB)
            watch.until("+ 10.0.0.8:9090")
            watch.end(signal.SIGTERM)


def test_a_watch_waits_for_a_registry() -> None:
    process = RegistryProcess()
    try:
        process.kill()
        with (
            socket.create_server(("127.0.0.1", process.port)) as nobody,
            running("watch", process.url, "Users") as watch,
        ):
            # It has tried, in vain.
            nobody.accept()[0].close()
            nobody.close()
            process.start()
            assert watch.until("instances").endswith("  0 instances")
            watch.end(signal.SIGINT)
    finally:
        process.close()


# Others.


def check(url: str) -> None:
    """All that can be done with a registry."""
    with connect(url) as owner, running("watch", url, "Users") as watch:
        owner.register(ADA).wait()
        owner.register(EVE).wait()
        watch.until("+ 10.0.0.7:9090")
        assert [each["service"] for each in found("services", url)] == ["Users", "Orders"]
        assert "10.0.0.7" in idlrt("instances", url, "Users").stdout
        assert found("disable", url, "Users", ADA.id)["status"] == "disabled"
        watch.until("~ 10.0.0.7:9090  10.0.0.7:9090  disabled")
        assert found("enable", url, "Users", ADA.id)["status"] == "up"
        both = found("set", url, "Users", ADA.id, "--weight", "7", "--setting", "retries=1")
        assert (both["instance"]["weight"], both["settings"]) == (7, {"retries": "1"})
        done = idlrt("disable", url, "Users", "nobody", code=2)
        assert "known instances: 10.0.0.7:9090" in done.stderr
        assert len(json.loads(idlrt("export", url).stdout)) == 2
        watch.end(signal.SIGTERM)


@SLOW
def test_with_zookeeper(tmp_path: Path) -> None:
    with running_zookeeper(tmp_path / "server") as server:
        check(f"zookeeper://{server.address}/test")


@SLOW
def test_with_etcd(tmp_path: Path) -> None:
    with etcd_cluster(tmp_path) as cluster:
        check(f"{cluster.url}/test")
