"""Named implementations, found by entry point."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from idlrt.plugins import Plugins, UnknownPlugin
from idlrt.protocol.thrift.framing import Framed
from idlrt.serialization import BinarySerialization, Limits


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's package with entry points of the group `test.group`."""
    (tmp_path / "stranger.py").write_text("class Thing:\n    pass\ndef make(size=1):\n    return size\n")
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[test.group]\nthing = stranger:Thing\nmake = stranger:make\nbroken = stranger:nothing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_names_are_sorted(installed: None) -> None:
    assert Plugins("test.group").names() == ["broken", "make", "thing"]


def test_implementations_are_loaded_when_they_are_asked_for(installed: None) -> None:
    plugins: Plugins[Any] = Plugins("test.group")
    plugins.names()
    thing = plugins.get("thing")
    assert thing.__name__ == "Thing"
    assert plugins.get("thing") is thing
    assert plugins.make("make", size=5) == 5
    assert type(plugins.make("thing")) is thing


def test_an_unknown_name_says_what_is_known(installed: None) -> None:
    with pytest.raises(
        UnknownPlugin, match=r"^unknown group 'thin' \(known: broken, make, thing\); did you mean 'thing'\?$"
    ):
        Plugins("test.group").get("thin")
    with pytest.raises(UnknownPlugin, match=r"^unknown group 'x' \(known: broken, make, thing\)$"):
        Plugins("test.group").get("x")


def test_an_empty_group_says_what_to_do() -> None:
    with pytest.raises(UnknownPlugin, match=r"no entry points of no\.such\.group are installed; reinstall the package"):
        Plugins("no.such.group").get("x")


def test_built_ins_are_registered_like_a_strangers() -> None:
    assert "binary" in Plugins("idlrt.serializations").names()
    protocols: Plugins[Any] = Plugins("idlrt.serializations")
    made = protocols.make("binary", Limits(max_depth=3))
    assert isinstance(made, BinarySerialization)
    assert made.limits.max_depth == 3
    assert {"framed", "unframed"} <= set(Plugins("idlrt.framings").names())
    assert Plugins("idlrt.framings").get("framed") is Framed


def test_many_threads_get_the_same(installed: None) -> None:
    plugins: Plugins[Any] = Plugins("test.group")
    found: list[Any] = []
    gate = threading.Barrier(8)

    def get() -> None:
        gate.wait(60)
        found.append(plugins.get("thing"))

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
