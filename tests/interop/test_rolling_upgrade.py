"""Version 0.1 and this one in one system: servers, clients and registries of both, in a rolling upgrade and back.

Version 0.1 is the last commit before instances listed their RPC protocols. It knows neither the key `rpc_protocols` of
JSON nor field 17 of the embedded registry's records, and its own instances list nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from etcd_server import etcd_cluster
from eventually import TIMEOUT, eventually
from versions import Process, Version, checkout, commit
from zookeeper_server import require_zookeeper, running_zookeeper

from idlrt.client.negotiation import select_protocol
from idlrt.core import Instance
from idlrt.registry import Registry

# Dozens of processes.
pytestmark = pytest.mark.long

OLD: Final = "e86d77427ad0e148c7b9853f33fea5e3a0c451a2"
SERVICE: Final = "Greeter"
LISTED: Final = {"jsonrpc": ("plain_json",), "thrift": ("binary", "compact", "json")}

IDL = """
namespace py greeter
exception Unknown { 1: string name }
service Greeter {
  string who()
  string greet(1: string name) throws (1: Unknown unknown)
}
"""

HANDLER = """
import os
from greeter import Unknown

class Handler:
    def who(self):
        return os.environ["NAME"]

    def greet(self, name):
        if not name:
            raise Unknown(name=name)
        return f"hello {name}"
"""

# For each line of names: calls until all servers of these names have answered, in both ways that a method can end.
CALLER = """
import sys
from greeter import GreeterClient, Unknown

with GreeterClient.connect(sys.argv[1], timeout=60.0) as client:
    for line in sys.stdin:
        wanted, seen = set(line.split()), set()
        for _ in range(20_000):
            seen.add(client.who())
            assert client.greet("Ada") == "hello Ada"
            try:
                client.greet("")
            except Unknown as error:
                assert error.name == ""
            else:
                raise AssertionError("an empty name was greeted")
            if seen >= wanted:
                break
        print(*sorted(seen & wanted), flush=True)
"""


def prepared(version: Version) -> Version:
    """A version with the programs of this test, and the stubs that its own compiler makes."""
    (version.folder / "greeter.thrift").write_text(IDL)
    (version.folder / "handlers.py").write_text(HANDLER)
    (version.folder / "caller.py").write_text(CALLER)
    version.run("-m", "idlc", "compile", "greeter.thrift", "-o", ".")
    assert (version.folder / "greeter" / "__init__.py").exists()
    where = version.run("-c", "import idlc, idlrt; print(idlc.__file__, idlrt.__file__, sep='\\n')").splitlines()
    assert all(Path(each).is_relative_to(version.root) for each in where), where
    return version


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Version]:
    folder = tmp_path_factory.mktemp("versions")
    return {each.name: prepared(each) for each in (commit(OLD, folder / "old"), checkout(folder / "new"))}


@contextlib.contextmanager
def embedded(version: Version, address: str = "127.0.0.1:0", *options: str) -> Iterator[tuple[str, Process]]:
    """The embedded registry of a version; its URL. Sessions live however busy the machine is."""
    with version.start("-m", "idlrt", "registry", "serve", "--address", address, *options) as process:
        yield f"{process.line('the registry is at ')}?timeout=60", process


@contextlib.contextmanager
def serving(version: Version, url: str) -> Iterator[Process]:
    """A server of a version, in a registry under the name of the version."""
    options = ["--idl", "greeter.thrift", "--address", "127.0.0.1:0", "--registry", url]
    options += ["--instance", f"id={version.name}", "--drain", "0"]
    with version.start("-m", "idlrt", "serve", "handlers:Handler", *options, NAME=version.name) as process:
        process.line("serving Greeter at ")
        yield process


def registered(registry: Registry, *ids: str) -> dict[str, Instance]:
    """Wait until just these instances are in a registry."""

    def found() -> dict[str, Instance] | None:
        instances = {each.id: each for each in registry.instances(SERVICE, timeout=TIMEOUT).instances}
        return instances if sorted(instances) == sorted(ids) else None

    return eventually(found, f"the instances are {ids}")


def opened(url: str) -> Registry:
    return Registry.connect(url, cache=False, empty_protection=False, timeout=TIMEOUT)


@contextlib.contextmanager
def calling(url: str, *versions: Version, **variables: str) -> Iterator[Callable[..., None]]:
    """Clients of some versions; a function that has them call until each of the instances of its ids has answered."""
    with contextlib.ExitStack() as stack:
        callers = {each.name: stack.enter_context(each.start("caller.py", url, **variables)) for each in versions}

        def call(*ids: str) -> None:
            for name, caller in callers.items():
                assert caller.ask(" ".join(ids)).split() == sorted(ids), name

        yield call
        # A client that is closed has saved what it knows.
        for caller in callers.values():
            caller.finish()


def check_told(versions: Mapping[str, Version], url: str, *ids: str) -> None:
    """See that the tools of both versions read the instances, as they do before and after the upgrade."""
    for version in versions.values():
        told: dict[str, Any] = json.loads(version.run("-m", "idlrt", "registry", "instances", url, SERVICE, "--json"))
        assert sorted(each["id"] for each in told["instances"]) == sorted(ids), version.name
        for each in told["instances"]:
            assert each["protocols"] == ["header", "framed", "unframed"], "the old key keeps its meaning"


@pytest.fixture(params=["embedded old", "embedded new", "etcd", "zookeeper", "zookeeper motan", "zookeeper dubbo"])
def url(request: pytest.FixtureRequest, versions: Mapping[str, Version], tmp_path: Path) -> Iterator[str]:
    """A registry of each kind; the embedded one of both versions."""
    kind, _, more = request.param.partition(" ")
    with contextlib.ExitStack() as stack:
        if kind == "embedded":
            yield stack.enter_context(embedded(versions[more]))[0]
        elif kind == "etcd":
            yield stack.enter_context(etcd_cluster(tmp_path)).url
        else:
            require_zookeeper()
            server = stack.enter_context(running_zookeeper(tmp_path / "zookeeper"))
            yield f"zookeeper://{server.address}?timeout=60&layout={more or 'idlrt'}"


def test_servers_and_clients_of_both_versions(
    url: str, versions: Mapping[str, Version], request: pytest.FixtureRequest
) -> None:
    loses_fields = "embedded old" in request.node.name  # it keeps the fields that it knows
    old, new = versions["old"], versions["new"]
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(opened(url))
        old_server = stack.enter_context(serving(old, url))
        registered(registry, "old")
        call = stack.enter_context(calling(url, old, new))
        call("old")
        stack.enter_context(serving(new, url))
        found = registered(registry, "old", "new")
        assert found["old"].rpc_protocols == {}
        assert found["new"].rpc_protocols == ({} if loses_fields else LISTED)
        for each in found.values():
            assert select_protocol(each.rpc_protocols, [("thrift", "binary")]) == ("thrift", "binary")
        call("old", "new")
        check_told(versions, url, "old", "new")
        old_server.stop()
        registered(registry, "new")
        call("new")
        # Rolled back.
        stack.enter_context(serving(old, url))
        registered(registry, "old", "new")
        call("old", "new")


def test_an_embedded_registry_is_upgraded_and_rolled_back_with_its_data(
    versions: Mapping[str, Version], tmp_path: Path
) -> None:
    options = ["--data", str(tmp_path / "registry.db")]
    old, new = versions["old"], versions["new"]
    with contextlib.ExitStack() as stack:
        address, ids = "127.0.0.1:0", list[str]()
        for number, version in enumerate((old, new, old, new)):
            with embedded(version, address, *options) as (url, process):
                address = url.removeprefix("embedded://").partition("?")[0]
                if number < 2:
                    stack.enter_context(serving(version, url))
                    ids.append(version.name)
                with opened(url) as registry:
                    registered(registry, *ids)
                with calling(url, old, new) as call:
                    call(*ids)
                process.stop()


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")], ids="-".join)
def test_a_snapshot_that_one_version_saved_is_used_by_the_other(
    versions: Mapping[str, Version], order: Sequence[str], tmp_path: Path
) -> None:
    writer, reader = (versions[each] for each in order)
    cache = str(tmp_path / "snapshots")
    with contextlib.ExitStack() as stack:
        with embedded(versions["new"]) as (url, process):
            for version in versions.values():
                stack.enter_context(serving(version, url))
            with opened(url) as registry:
                registered(registry, "old", "new")
            with calling(url, writer, IDLRT_CACHE_DIR=cache) as call:
                call("old", "new")
            process.stop()
        with calling(url, reader, IDLRT_CACHE_DIR=cache) as call:
            call("old", "new")
