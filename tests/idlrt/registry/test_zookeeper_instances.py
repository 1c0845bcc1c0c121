"""Layouts of ZooKeeper: instances survive a round trip, and invalid nodes of other programs are ignored."""

from __future__ import annotations

import string
import subprocess
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from programs import not_run
from zookeeper_server import require_zookeeper

from idlrt.core import Instance, ServiceKey, Status
from idlrt.registry.zookeeper.dubbo import DubboLayout
from idlrt.registry.zookeeper.java_urls import java_quote
from idlrt.registry.zookeeper.layouts import IdlrtLayout, Layout
from idlrt.registry.zookeeper.motan import MotanLayout, java_string, text_of_java
from idlrt.registry.zookeeper.tree import Node

pytestmark = pytest.mark.slow

LAYOUTS: list[Layout] = [IdlrtLayout(), MotanLayout(), DubboLayout()]

names = st.text(string.ascii_letters + string.digits + "_.$@+-", min_size=1, max_size=20).map(lambda each: f"a{each}")
texts = st.text(max_size=20)
tables = st.dictionaries(texts, texts, max_size=4)
# URLs have millisecond resolution.
seconds = st.integers(1, 10**7).map(lambda each: each / 1000)
instances = st.builds(
    Instance,
    service=st.one_of(names, st.tuples(names, names).map(":".join)),
    host=st.sampled_from(["127.0.0.1", "::1", "fe80::1%eth0", "db.example.org"]),
    port=st.integers(1, 65535),
    group=names,
    id=st.one_of(st.just(""), names),
    protocols=st.lists(st.sampled_from(["header", "framed", "dubbo", "motan2"])).map(tuple),
    rpc_protocols=st.dictionaries(
        st.sampled_from(["thrift", "dubbo", "motan2", "a/b:c+d"]),
        st.lists(st.sampled_from(["binary", "hessian2", "a/b"]), min_size=1, max_size=3).map(tuple),
    ),
    version=texts,
    weight=st.integers(0, 1_000_000),
    zone=texts,
    tags=tables,
    timeout=st.none() | seconds,
    retries=st.none() | st.integers(0, 100),
    routing=tables,
    started_at=st.just(0.0) | seconds,
    status=st.sampled_from(Status),
    metadata=tables | st.dictionaries(st.sampled_from(["side", "weight", "application", "group", "idlrt"]), texts),
)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: type(each).__name__)
@given(instance=instances)
def test_an_instance_is_read_as_it_was_written(layout: Layout, instance: Instance) -> None:
    node = layout.write(instance)
    assert "/" not in node.name
    assert node.folder in layout.folders(instance.key)
    assert layout.read(instance.key, [node]) == [instance]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: type(each).__name__)
@given(name=texts, data=st.binary(max_size=100) | st.sampled_from([b"{}", b"[]", b'{"port":1}', b"motan2://h:1/a?"]))
@example(name="dubbo%3A%2F%2Fh%3A99999%2Fa", data=b"motan2://h:99999/a?")
@example(name="dubbo%3A%2F%2F%5B%2Fa", data=b"motan2://[/a?")
@example(name="h:x", data=b"")
@example(name="dubbo%3A%2F%2Fh%3A1%2Fa%3Fidlrt%3D%7B", data=b"motan2://h:1/a?idlrt=%7B")
@example(name="dubbo%3A%2F%2Fh%3A1%2Fa%3Fweight%3Dnan", data=b"motan2://h:1/a?weight=nan&timeout=inf&timestamp=-1")
@example(name="dubbo%3A%2F%2Fh%3A1%2Fa%3Fweight%3Dinf%26retries%3D1e400", data=b"motan2://h:1/a?weight=inf")
@example(name="dubbo%3A%2F%2Fh%3A1%2Fa%3Fidlrt%3D%5B%5D", data=b"motan2://h:1/a?idlrt=%5B%5D")
@example(
    name="dubbo%3A%2F%2Fh%3A1%2Fa%3Fidlrt%3D%7B%22metadata%22%3A1%7D",
    data=b"motan2://h:1/a?idlrt=%7B%22metadata%22%3A1%7D",
)
@example(name="dubbo%3A%2F%2Fh%3A1%2Fa%3Fgroup%3D%2F", data=b"\xac\xed\x00\x05\x74\xff\xffa")
def test_invalid_nodes_are_ignored(layout: Layout, name: str, data: bytes) -> None:
    key = ServiceKey("a")
    good = Instance(service="a", host="127.0.0.1", port=1)
    mine = layout.write(good)
    nodes = [*(Node(each, name, data, 0) for each in layout.folders(key)), mine._replace(created=1)]
    assert good in layout.read(key, nodes)


@given(st.text(string.printable[:95], max_size=200))
def test_java_strings(text: str) -> None:
    assert text_of_java(java_string(text)) == text
    assert text_of_java(text.encode()) == text
    assert unquote_plus(java_quote(text)) == text


def test_long_java_strings() -> None:
    text = "x" * 70_000
    assert java_string(text)[:13] == bytes.fromhex("aced00057c") + (70_000).to_bytes(8, "big")
    assert text_of_java(java_string(text)) == text


JAVA = """
import java.io.*; import java.net.*; import java.util.*; import java.nio.charset.StandardCharsets;
class Said { public static void main(String[] texts) throws Exception { for (String text : texts) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) { out.writeObject(text); }
    System.out.println(HexFormat.of().formatHex(bytes.toByteArray()) + " " + URLEncoder.encode(text, "UTF-8"));
} } }
"""


@pytest.mark.slow
def test_java_agrees(tmp_path: Path) -> None:
    java, _ = require_zookeeper()
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, timeout=60, check=True).stdout
    if "jdk.compiler" not in modules:
        not_run("this Java compiles nothing: apt-get install default-jdk-headless")
    (tmp_path / "Said.java").write_text(JAVA)
    texts = [string.printable[:95], "motan2://10.0.0.7:8002/demo.Users?group=a&", "x" * 70_000]
    said = subprocess.run(
        [java, str(tmp_path / "Said.java"), *texts], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert said.splitlines() == [f"{java_string(each).hex()} {java_quote(each)}" for each in texts]


def test_quoting_is_that_of_java() -> None:
    # From the documentation of `java.net.URLEncoder`: letters, digits and .-*_ are kept, a space becomes a plus sign.
    assert java_quote("aZ09.-*_ ~!'()/:?=&%+ü") == "aZ09.-*_+%7E%21%27%28%29%2F%3A%3F%3D%26%25%2B%C3%BC"
