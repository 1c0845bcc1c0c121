"""Servers in other languages: programs are built once, failed builds give a reason, and real ones answer our client."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from programs import not_run

from benchmarks.native_peers import CPP, GO, BuildFailed, NativePeer, Unavailable, build, thrift_version
from benchmarks.stubs import ours, small
from benchmarks.workers import running


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "main").write_text("one", encoding="utf-8")
    return folder


def peer_of_shell(sources: Path, script: str) -> NativePeer:
    return NativePeer(name="shell", sources=sources, steps=[["sh", "-c", script]])


def test_a_program_is_built_once(tmp_path: Path, sources: Path) -> None:
    log = tmp_path / "log"
    peer = peer_of_shell(sources, f"echo built >> {log}; cp main server")
    programs = {build(peer, cache=tmp_path / "cache") for _ in range(3)}
    assert [program.read_text(encoding="utf-8") for program in programs] == ["one"]
    assert log.read_text(encoding="utf-8") == "built\n"


def test_a_program_is_built_again_when_its_sources_have_changed(tmp_path: Path, sources: Path) -> None:
    peer = peer_of_shell(sources, "cp main server")
    first = build(peer, cache=tmp_path / "cache")
    (sources / "main").write_text("two", encoding="utf-8")
    second = build(peer, cache=tmp_path / "cache")
    assert [each.read_text(encoding="utf-8") for each in (first, second)] == ["one", "two"]


def test_a_failed_build_says_which_error_and_leaves_nothing(tmp_path: Path, sources: Path) -> None:
    peer = peer_of_shell(sources, "echo compiling; echo 'main:1: error: bad' >&2; echo later; touch server; exit 1")
    for _ in range(2):
        with pytest.raises(BuildFailed, match=r"^`sh .*` failed: main:1: error: bad$"):
            build(peer, cache=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["shell.lock"]


def test_a_step_that_leaves_no_program_is_a_failed_build(tmp_path: Path, sources: Path) -> None:
    with pytest.raises(BuildFailed, match="no program"):
        build(peer_of_shell(sources, "true"), cache=tmp_path / "cache")


def test_a_missing_program_is_reported_with_what_to_install(tmp_path: Path, sources: Path) -> None:
    peer = NativePeer(
        name="none", sources=sources, programs={"no-such-program": "some-package", "sh": "dash"}, steps=[]
    )
    with pytest.raises(Unavailable, match=r"^no-such-program not found; install some-package$"):
        build(peer, cache=tmp_path / "cache")


def test_what_cannot_be_downloaded_makes_a_peer_unavailable(tmp_path: Path, sources: Path) -> None:
    peer = NativePeer(name="none", sources=sources, downloads=[["sh", "-c", "echo no network; exit 1"]], steps=[])
    with pytest.raises(Unavailable, match=r"no network$"):
        build(peer, cache=tmp_path / "cache")


@pytest.mark.skipif(shutil.which("g++") is None, reason="NOT RUN: g++ not found; install g++")
def test_a_missing_header_is_reported_with_what_to_install(tmp_path: Path, sources: Path) -> None:
    headers = {"no/such/header.h": "some-package", "vector": "g++"}
    peer = NativePeer(name="none", sources=sources, headers=headers, steps=[])
    with pytest.raises(Unavailable, match=r"^no/such/header.h not found; install some-package$"):
        build(peer, cache=tmp_path / "cache")


@pytest.mark.long
@pytest.mark.timeout(1200)  # the first build of a Go program compiles Go's standard library
@pytest.mark.parametrize(
    ("peer", "arguments", "framing"),
    [(GO, ["framed"], "framed"), (GO, ["header"], "header"), (CPP, [], "framed")],
    ids=["go framed", "go header", "cpp framed"],
)
def test_a_native_peer_answers_our_client(peer: NativePeer, arguments: list[str], framing: str, tmp_path: Path) -> None:
    try:
        program = build(peer)
    except Unavailable as error:
        not_run(f"NOT RUN: the {peer.name} server: {error}")
    assert thrift_version(peer).startswith("0.")
    stubs: Any = ours(tmp_path)
    value = small(stubs.Small)
    # At the end its input is closed, and it ends with exit status 0.
    with running([str(program), *arguments]) as server:
        before = server.ask("cpu")
        with stubs.EchoClient.connect(f"127.0.0.1:{server.first}", framing=framing, timeout=60.0) as client:
            for _ in range(100):
                assert client.echo(value) == value
        assert server.ask("cpu") > before
