"""Node formats of Motan and Dubbo, checked with a plain ZooKeeper client."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from eventually import TIMEOUT
from registry_heard import Heard
from zookeeper_server import ZooKeeper, plain_client

from idlrt.core import Instance, Snapshot, Status
from idlrt.registry import Registry


class Tree:
    """A chroot, accessed with a plain client."""

    def __init__(self, address: str, client: Any) -> None:
        self.chroot = f"/{uuid.uuid4().hex}"
        self.address = address
        self.client = client
        self.client.ensure_path(self.chroot)

    def connect(self, layout: str) -> Registry:
        url = f"zookeeper://{self.address}{self.chroot}?layout={layout}&timeout=60"
        return Registry.connect(url, cache=False, timeout=TIMEOUT)

    def write(self, path: str, data: bytes = b"", ephemeral: bool = True) -> None:
        self.client.create(f"{self.chroot}{path}", data, ephemeral=ephemeral, makepath=True)

    def names(self, path: str) -> list[str]:
        return sorted(self.client.get_children(f"{self.chroot}{path}"))

    def read(self, path: str) -> bytes:
        return self.client.get(f"{self.chroot}{path}")[0]

    def is_ephemeral(self, path: str) -> bool:
        return self.client.exists(f"{self.chroot}{path}").ephemeralOwner != 0


@pytest.fixture
def tree(zookeeper: ZooKeeper) -> Iterator[Tree]:
    with plain_client(zookeeper.address) as client:
        yield Tree(zookeeper.address, client)


SERVICE = "com.weibo.motan.demo.service.MotanDemoService"
MOTAN = f"/motan/motan-demo-rpc/{SERVICE}"
# `URL.toFullStr` of a server that Motan's own demo exports.
MOTAN_URL = (
    f"motan2://10.0.0.7:8002/{SERVICE}?maxContentLength=1548576&module=motan-demo-rpc&nodeType=service"
    "&accessLog=false&minWorkerThread=2&retries=1&isDefault=false&application=myMotanDemo&maxWorkerThread=10"
    "&shareChannel=true&refreshTimestamp=1611138360000&id=demo&export=demoMotan%3A8002&requestTimeout=200"
    "&group=motan-demo-rpc&version=1.0&"
)


def java_bytes(text: str) -> bytes:
    """Serialize a string like `ObjectOutputStream.writeObject`."""
    return bytes.fromhex("aced000574") + len(text).to_bytes(2, "big") + text.encode()


@pytest.mark.parametrize("data", [MOTAN_URL.encode(), java_bytes(MOTAN_URL)], ids=["zk", "zookeeper"])
def test_motan_reads_what_java_wrote(tree: Tree, data: bytes) -> None:
    tree.write(f"{MOTAN}/server/10.0.0.7:8002", data)
    with tree.connect("motan") as registry:
        (found,) = registry.instances(SERVICE, "motan-demo-rpc").instances
        assert (found.host, found.port, found.id, found.protocols) == ("10.0.0.7", 8002, "10.0.0.7:8002", ("motan2",))
        assert (found.status, found.weight, found.retries) == (Status.UP, 100, 1)
        assert found.metadata["application"] == "myMotanDemo"
        assert found.metadata["export"] == "demoMotan:8002"
        assert not {"group", "version", "nodeType", "refreshTimestamp"} & set(found.metadata)
        assert registry.groups() == ["motan-demo-rpc"]
        assert registry.services("motan-demo-rpc") == [SERVICE]


def test_motan_servers_that_are_not_available_are_disabled(tree: Tree) -> None:
    tree.write(f"{MOTAN}/unavailableServer/10.0.0.7:8002", MOTAN_URL.encode())
    tree.write(f"{MOTAN}/server/10.0.0.8:8002", b"")
    tree.write(f"{MOTAN}/server/10.0.0.9:8002", MOTAN_URL.replace("0.7", "0.9").replace("=1.0", "=2.0").encode())
    tree.write(f"{MOTAN}/server/broken", bytes.fromhex("aced00057372"))
    tree.write("/motan/motan-demo-rpc/command", b"{}", ephemeral=False)
    with tree.connect("motan") as registry:
        found = registry.instances(SERVICE, "motan-demo-rpc").instances
        # Another version is another service. Without data only the address is known, so the node matches any version.
        assert [(each.id, each.status) for each in found] == [
            ("10.0.0.7:8002", Status.DISABLED),
            ("10.0.0.8:8002", Status.UP),
        ]
        assert [each.id for each in registry.instances(f"{SERVICE}:2.0", "motan-demo-rpc").instances] == [
            "10.0.0.8:8002",
            "10.0.0.9:8002",
        ]
        assert registry.services("motan-demo-rpc") == [SERVICE]


def is_just(id: str, status: Status) -> Callable[[Snapshot], bool]:
    return lambda each: [(one.id, one.status) for one in each.instances] == [(id, status)]


def test_motan_subscribers_see_java_servers_start_and_stop(tree: Tree) -> None:
    with tree.connect("motan") as registry:
        subscription = registry.subscribe(SERVICE, "motan-demo-rpc")
        assert subscription.wait().instances == ()
        heard = Heard(subscription)
        # Like `doRegister` followed by `doAvailable`.
        tree.write(f"{MOTAN}/unavailableServer/10.0.0.7:8002", java_bytes(MOTAN_URL))
        heard.until(is_just("10.0.0.7:8002", Status.DISABLED), "disabled")
        tree.client.delete(f"{tree.chroot}{MOTAN}/unavailableServer/10.0.0.7:8002")
        tree.write(f"{MOTAN}/server/10.0.0.7:8002", java_bytes(MOTAN_URL))
        heard.until(is_just("10.0.0.7:8002", Status.UP), "up")


def test_motan_writes_what_java_reads(tree: Tree) -> None:
    with tree.connect("motan") as registry:
        instance = Instance(
            service=SERVICE,
            group="motan-demo-rpc",
            host="10.0.0.7",
            port=8002,
            protocols=("motan2",),
            weight=50,
            timeout=0.2,
            tags={"gray": "yes"},
            metadata={"application": "mine", "export": "demo Motan:8002"},
            started_at=1_700_000_000.25,
        )
        registration = registry.register(instance)
        registration.wait()
        own = "%7B%22protocols%22%3A%5B%22motan2%22%5D%2C%22tags%22%3A%7B%22gray%22%3A%22yes%22%7D%7D"
        url = (
            f"motan2://10.0.0.7:8002/{SERVICE}?application=mine&export=demo+Motan%3A8002&group=motan-demo-rpc"
            f"&idlrt={own}&nodeType=service&timeout=200&timestamp=1700000000250&version=1.0&weight=50&"
        )
        path = f"{MOTAN}/server/10.0.0.7:8002"
        assert tree.read(path) == java_bytes(url)
        assert tree.is_ephemeral(path)
        assert registry.instances(SERVICE, "motan-demo-rpc").instances == (instance,)
        registration.disable()
        registration.wait()
        assert tree.names(f"{MOTAN}/server") == []
        assert tree.read(f"{MOTAN}/unavailableServer/10.0.0.7:8002") == java_bytes(url)
        registration.update(status=Status.DRAINING)
        registration.wait()
        assert registry.instances(SERVICE, "motan-demo-rpc").instances[0].status is Status.DRAINING
        registration.enable()
        registration.wait()
        assert tree.names(f"{MOTAN}/server") == ["10.0.0.7:8002"]
        assert tree.names(f"{MOTAN}/unavailableServer") == []


def test_the_default_group_maps_to_motans(tree: Tree) -> None:
    with tree.connect("motan") as registry:
        registry.register(Instance(service="demo.Users", host="10.0.0.7", port=8002)).wait()
        assert tree.names("/motan/default_rpc/demo.Users/server") == ["10.0.0.7:8002"]
        assert b"thrift://10.0.0.7:8002/demo.Users?" in tree.read("/motan/default_rpc/demo.Users/server/10.0.0.7:8002")
        assert registry.groups() == ["default"]


GREET = "org.apache.dubbo.demo.GreetingsService"
PROVIDERS = f"/dubbo/{GREET}/providers"
# `URL.encode(url.toFullString())` of a provider of Dubbo's own samples.
DUBBO_NODE = (
    "dubbo%3A%2F%2F172.17.0.2%3A20880%2Forg.apache.dubbo.demo.GreetingsService%3Fanyhost%3Dtrue%26application%3D"
    "first-dubbo-provider%26deprecated%3Dfalse%26dubbo%3D2.0.2%26dynamic%3Dtrue%26generic%3Dfalse%26interface%3D"
    "org.apache.dubbo.demo.GreetingsService%26methods%3DsayHi%2CsayBye%26pid%3D59212%26release%3D2.7.7%26retries%3D3"
    "%26side%3Dprovider%26timeout%3D1500%26timestamp%3D1593069100450%26weight%3D200"
)


def test_dubbo_reads_what_java_wrote(tree: Tree) -> None:
    tree.write(f"{PROVIDERS}/{DUBBO_NODE}", b"172.17.0.2")
    tree.write(f"{PROVIDERS}/{DUBBO_NODE}%26group%3Dblue%26version%3D1.0.0".replace("20880", "20881"))
    tree.write(f"{PROVIDERS}/{DUBBO_NODE}%26disabled%3Dtrue".replace("20880", "20882"))
    tree.write(f"{PROVIDERS}/{DUBBO_NODE}%26enabled%3Dfalse".replace("20880", "20883"))
    tree.write(f"{PROVIDERS}/nonsense")
    with tree.connect("dubbo") as registry:
        first, *others = registry.instances(GREET).instances
        assert (first.host, first.port, first.protocols) == ("172.17.0.2", 20880, ("dubbo",))
        assert (first.weight, first.timeout, first.retries) == (200, 1.5, 3)
        assert (first.started_at, first.status) == (1593069100.45, Status.UP)
        assert first.metadata == {
            "application": "first-dubbo-provider",
            "deprecated": "false",
            "dynamic": "true",
            "generic": "false",
            "methods": "sayHi,sayBye",
            "pid": "59212",
            "release": "2.7.7",
        }
        assert [(each.port, each.status) for each in others] == [(20882, Status.DISABLED), (20883, Status.DISABLED)]
        # A service is identified by interface, group and version.
        assert registry.instances(GREET, "blue").instances == ()
        (blue,) = registry.instances(f"{GREET}:1.0.0", "blue").instances
        assert blue.port == 20881
        assert registry.groups() == ["blue", "default"]
        assert registry.services("blue") == [f"{GREET}:1.0.0"]
        assert registry.services() == [GREET]


def test_dubbo_writes_what_java_reads(tree: Tree) -> None:
    with tree.connect("dubbo") as registry:
        instance = Instance(
            service=f"{GREET}:1.0.0",
            group="blue",
            host="10.0.0.7",
            port=20880,
            protocols=("dubbo",),
            timeout=1.5,
            zone="eu-1",
            started_at=1_593_069_100.45,
            metadata={"application": "mine", "methods": "sayHi,sayBye", "odd": "a&b=c"},
        )
        registration = registry.register(instance)
        registration.wait()
        own = '{"protocols":["dubbo"],"zone":"eu-1","metadata":{"odd":"a&b=c"}}'
        head, tail = (
            f"dubbo://10.0.0.7:20880/{GREET}?anyhost=false&application=mine&category=providers",
            "&dubbo=2.0.2&group=blue&idlrt=",
        )
        (name,) = tree.names(PROVIDERS)
        url = unquote(name)
        assert url.startswith(head + tail)
        assert unquote(url.partition("&idlrt=")[2].partition("&")[0]) == own
        rest = "&interface=" + GREET + "&methods=sayHi,sayBye&side=provider&timeout=1500&timestamp=1593069100450"
        assert url.endswith(f"{rest}&version=1.0.0&weight=100")
        # Quoted like `java.net.URLEncoder` does.
        assert name.startswith("dubbo%3A%2F%2F10.0.0.7%3A20880%2Forg.apache.dubbo.demo.GreetingsService%3Fanyhost%3D")
        assert tree.is_ephemeral(f"{PROVIDERS}/{name}")
        assert registry.instances(f"{GREET}:1.0.0", "blue").instances == (instance,)
        registration.disable()
        registration.wait()
        (name,) = tree.names(PROVIDERS)
        assert "%26disabled%3Dtrue%26" in name
        registration.deregister(TIMEOUT)
        assert tree.names(PROVIDERS) == []


def test_dubbo_replaces_the_node_of_an_expired_session(tree: Tree) -> None:
    old = DUBBO_NODE.replace("timestamp%3D1593069100450", "timestamp%3D1593069100000")
    tree.write(f"{PROVIDERS}/{old}")
    with tree.connect("dubbo") as registry:
        registry.register(Instance(service=GREET, host="172.17.0.2", port=20880, protocols=("dubbo",))).wait()
        (name,) = tree.names(PROVIDERS)
        assert "idlrt" in name


def test_the_native_layout_is_json(tree: Tree) -> None:
    with tree.connect("idlrt") as registry:
        instance = Instance(service="demo.Users", host="10.0.0.7", port=9000, weight=5)
        registry.register(instance).wait()
        registry.modify("demo.Users", instance.id, weight=7)
        registry.configure("demo.Users", {"balancer": "p2c"})
        path = "/idlrt/default/demo.Users"
        assert tree.names(path) == ["instances", "patches", "settings"]
        assert msgspec.json.decode(tree.read(f"{path}/instances/10.0.0.7:9000"), type=Instance) == instance
        assert tree.is_ephemeral(f"{path}/instances/10.0.0.7:9000")
        assert tree.read(f"{path}/patches/10.0.0.7:9000") == b'{"weight":7}'
        assert tree.read(f"{path}/settings") == b'{"balancer":"p2c"}'
        # An invalid node of another program does not hide the others.
        tree.write(f"{path}/instances/10.0.0.8:9000", b"{")
        tree.write(f"{path}/patches/10.0.0.8:9000", b"\xff")
        assert [each.weight for each in registry.instances("demo.Users").instances] == [7]


def test_the_revision_increases_when_the_newest_node_is_deleted(tree: Tree) -> None:
    with tree.connect("idlrt") as registry:
        seen = [registry.instances("demo.Users").revision]
        first = registry.register(Instance(service="demo.Users", host="10.0.0.7", port=9000))
        first.wait()
        seen.append(registry.instances("demo.Users").revision)
        first.update(weight=7)
        first.wait()
        seen.append(registry.instances("demo.Users").revision)
        registry.configure("demo.Users", {"a": "b"})
        seen.append(registry.instances("demo.Users").revision)
        tree.client.delete(f"{tree.chroot}/idlrt/default/demo.Users/settings")
        seen.append(registry.instances("demo.Users").revision)
        first.update(weight=8)
        first.wait()
        first.deregister(TIMEOUT)
        seen.append(registry.instances("demo.Users").revision)
        tree.client.delete(f"{tree.chroot}/idlrt/default/demo.Users/instances")
        seen.append(registry.instances("demo.Users").revision)
        assert seen == sorted(set(seen)), seen
