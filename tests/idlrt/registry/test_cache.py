"""Snapshots on disk."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from idlrt.core import Instance, ServiceKey, Snapshot
from idlrt.registry.cache import SnapshotCache, default_folder

SNAPSHOT = Snapshot(
    key=ServiceKey("demo.Users", "blue"),
    instances=(Instance(service="demo.Users", group="blue", host="10.0.0.1", port=1, tags={"a": "b"}),),
    settings={"x": "y"},
    revision=7,
)


def test_a_saved_snapshot_is_loaded(tmp_path: Path) -> None:
    cache = SnapshotCache(tmp_path / "deep" / "er", "embedded://h")
    assert cache.load(SNAPSHOT.key) is None
    cache.save(SNAPSHOT)
    assert cache.load(SNAPSHOT.key) == SNAPSHOT
    assert SnapshotCache(tmp_path / "deep" / "er", "embedded://h").load(SNAPSHOT.key) == SNAPSHOT
    assert len(list((tmp_path / "deep" / "er").iterdir())) == 1, "nothing temporary is left"


def test_registries_and_groups_have_separate_files(tmp_path: Path) -> None:
    SnapshotCache(tmp_path, "embedded://h").save(SNAPSHOT)
    assert SnapshotCache(tmp_path, "embedded://other").load(SNAPSHOT.key) is None
    assert SnapshotCache(tmp_path, "embedded://h").load(ServiceKey("demo.Users")) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b"\xff", b"null"])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    cache = SnapshotCache(tmp_path, "embedded://h")
    cache.save(SNAPSHOT)
    cache.path(SNAPSHOT.key).write_bytes(content)
    with caplog.at_level(logging.WARNING, "idlrt.registry"):
        assert cache.load(SNAPSHOT.key) is None
    assert "cannot read the saved snapshot of blue/demo.Users" in caplog.text


def test_a_file_of_another_format_is_ignored(tmp_path: Path) -> None:
    cache = SnapshotCache(tmp_path, "embedded://h")
    cache.save(SNAPSHOT)
    path = cache.path(SNAPSHOT.key)
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    assert cache.load(SNAPSHOT.key) is None


def test_a_cache_path_that_is_not_a_folder_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    SnapshotCache(tmp_path / "file", "embedded://h").save(SNAPSHOT)
    assert "cannot save the snapshot" in caplog.text


def test_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLRT_CACHE_DIR", "/chosen")
    assert default_folder() == Path("/chosen")
    monkeypatch.delenv("IDLRT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_folder() == Path("/cache/idlrt")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_folder() == Path("/home/ada/.cache/idlrt")


# Saves a snapshot, and stops before the temporary file is renamed.
STOPPED = """
import sys
from pathlib import Path
from idlrt.core import ServiceKey, Snapshot
from idlrt.registry.cache import SnapshotCache

def hook(event, arguments):
    if event == "os.rename":
        print("stopped", flush=True)
        sys.stdin.readline()

sys.addaudithook(hook)
SnapshotCache(Path(sys.argv[1]), "embedded://h").save(Snapshot(key=ServiceKey("demo.Orders")))
"""


def stopped(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", STOPPED, str(folder)]
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "stopped\n"
    return made


def test_temporary_files_of_killed_programs_are_removed(tmp_path: Path) -> None:
    with stopped(tmp_path) as program:
        (left,) = tmp_path.iterdir()
        program.send_signal(signal.SIGKILL)
    assert left.exists(), "there was something to remove"
    cache = SnapshotCache(tmp_path, "embedded://h")
    cache.save(SNAPSHOT)
    assert list(tmp_path.iterdir()) == [cache.path(SNAPSHOT.key)]


def test_temporary_files_of_running_programs_stay(tmp_path: Path) -> None:
    cache = SnapshotCache(tmp_path, "embedded://h")
    with stopped(tmp_path) as program:
        (waiting,) = tmp_path.iterdir()
        cache.save(SNAPSHOT)
        assert waiting.exists()
        program.communicate("go on\n")
    assert program.returncode == 0
    orders = ServiceKey("demo.Orders")
    assert sorted(tmp_path.iterdir()) == sorted([cache.path(SNAPSHOT.key), cache.path(orders)])
    assert cache.load(orders) == Snapshot(key=orders)


def test_unrelated_files_stay(tmp_path: Path) -> None:
    names = [".idlrt-notes", "x.tmp", "idlrt-1.tmp"]
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".idlrt-folder.tmp").mkdir()
    SnapshotCache(tmp_path, "embedded://h").save(SNAPSHOT)
    assert {path.name for path in tmp_path.iterdir()} >= {*names, ".idlrt-folder.tmp"}
