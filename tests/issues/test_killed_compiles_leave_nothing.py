"""A compile may be killed at any moment: the next one leaves neither in the output nor in the cache what it began."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from idlc.files import replace_file, sweep

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="it forks and kills")]

# Runs a compile in a child for each of its steps, and kills it there. A step is what Python does with files of the
# output or the cache.
KILLER = """
import json, os, re, signal, sys
from pathlib import Path
import idlc
from idlc.transaction import recover

counting, limit, count = False, 0, 0

def hook(event, arguments):
    global counting, count
    if counting and (event.startswith("fcntl.") or any(str(each).startswith(("gen", "cache")) for each in arguments)):
        if count == limit:
            counting = False
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

def run():
    idlc.compile(sources=(Path("demo.thrift"), Path("more.thrift")), output=Path("gen"))

def write(number):
    for name in ("demo", "more"):
        Path(f"{name}.thrift").write_text(f"namespace py demo\\nstruct {name.title()} {{ 1: i32 x{number} }}")

def versions():
    return {re.search("x[0-9]+", Path(f"gen/demo/{name}.py").read_text())[0] for name in ("demo", "more")}

def left():
    return [name for name in files() if ".tmp" in name or ".stage" in name]

def files():
    return sorted(str(path) for root in ("gen", "cache") for path in Path(root).rglob("*") if path.is_file())

write("0")
run()  # the grammar is made, and everything imported
whole, killed, seen = files(), 0, set()
sys.addaudithook(hook)
while True:
    write(limit + 1)
    child = os.fork()
    if child == 0:
        counting = True
        run()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen.update(re.sub("/[.]idlc-.*", "", name) for name in left())
    recover(Path("gen"))
    assert len(versions()) == 1, limit
    run()
    assert left() == [], (limit, files())
    assert [name for name in files() if name.startswith("gen")] == [name for name in whole if name.startswith("gen")]
    if status == 0:
        break
    assert status == -signal.SIGKILL
    killed += 1
    limit += 1
print(json.dumps({"killed": killed, "seen": sorted(seen)}))
"""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "IDLC_CACHE_DIR": str(folder / "cache")}


def test_whenever_it_is_killed(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLER],
        cwd=tmp_path,
        env={**os.environ, "IDLC_CACHE_DIR": "cache"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] > 10
    assert told["seen"] == ["cache/uptodate", "gen"]  # there was something to remove


# Stops before it moves its first file into place, until its standard input says to go on.
STOPPED = """
import os, sys
from pathlib import Path
import idlc

is_first = True

def hook(event, arguments):
    global is_first
    if event == "os.rename" and is_first and str(arguments[1]).endswith(".py"):
        is_first = False
        print("stopped", flush=True)
        sys.stdin.readline()

sys.addaudithook(hook)
idlc.compile(sources=(Path("demo.thrift"),), output=Path("gen"), use_cache=False)
"""


def test_a_compile_that_is_at_work_is_not_disturbed(tmp_path: Path) -> None:
    (tmp_path / "demo.thrift").write_text("namespace py demo\nstruct A { 1: i32 x }")
    command = [sys.executable, "-c", STOPPED]
    options = {"cwd": tmp_path, "env": environment(tmp_path), "text": True}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as first:  # type: ignore[call-overload]
        assert first.stdout.readline() == "stopped\n"
        (waiting,) = (tmp_path / "gen").glob(".idlc-*")
        second = subprocess.run([sys.executable, "-m", "idlc", "demo.thrift"], check=False, **options)  # type: ignore[call-overload]
        assert second.returncode == 0
        assert waiting.exists()
        first.stdin.write("go on\n")
        first.stdin.close()
        assert first.wait(60) == 0
        assert not waiting.exists()
    assert sorted(path.name for path in (tmp_path / "gen/demo").iterdir()) == ["__init__.py", "demo.py", "py.typed"]


def test_what_others_keep_in_the_folder_stays(tmp_path: Path) -> None:
    names = [".idlc-notes", "x.tmp", ".hidden.tmp", "idlc-1.tmp"]
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".idlc-0.tmp").write_text("left behind")
    (tmp_path / ".idlc-folder.tmp").mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, ".idlc-folder.tmp"])


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "taken", b"data")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


def test_permissions_are_those_of_ordinary_files(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_text("")
    replace_file(tmp_path / "made", b"data")
    replace_file(tmp_path / "private", b"data", mode=0o600)
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600
