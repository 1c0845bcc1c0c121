"""Wheel and sdist: what is in them, and that the wheel works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.long


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    env |= {"IDLC_CACHE_DIR": str(cwd / "cache"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | more
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> set[str]:
    """The files of a checkout; those of an unpacked sdist, where there is no git, are all there are."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return {str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()}
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the checkout's files, so that a build neither sees nor leaves anything else."""
    folder = tmp_path / "source"
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


IDL = """
namespace py demo
struct User { 1: required i64 id, 2: list<string> names = ["ada"] }
service Users { User get(1: i64 id) }
"""

USE = """
import idlc, idlrt, sys
from demo import User, UsersClient, users
from idlrt.testing import connected

class Handler:
    def get(self, id):
        return User(id=id)

assert idlrt.decode(User, idlrt.encode(User(id=1))) == User(id=1)
with connected(UsersClient, users(Handler())) as client:
    assert client.get(7).names == ["ada"]
print(idlc.__file__)
print(idlrt.__file__)
"""


def test_a_built_wheel_compiles_and_serves_in_an_empty_environment(source: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", cwd=source)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    assert_complete_wheel(wheel)
    assert_complete_sdist(sdist)

    # The sdist's own build came first: `build` makes the wheel from it.
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    away = tmp_path / "away"
    away.mkdir()
    (away / "demo.thrift").write_text(IDL, encoding="utf-8")
    printed = run(tmp_path / "venv" / "bin" / "idlc", "demo.thrift", "-o", ".", cwd=away)
    assert printed == ".: 3 files, 3 written, 0 unchanged\n"
    places = run(python, "-c", USE, cwd=away).splitlines()
    built = not wheel.name.endswith("-none-any.whl")
    assert run(python, "-c", WHICH, cwd=away) == ("native\n" if built else "pure\n")
    if os.environ.get("IDLC_TEST_EVERYTHING"):
        assert built, "there is no native codec in the wheel"
    assert all(Path(place).is_relative_to(tmp_path / "venv") for place in places)


WHICH = "import idlrt.serialization; print(idlrt.serialization.backend)"


@pytest.mark.parametrize("how", ["no compiler", "not wanted"])
def test_without_a_compiler_the_package_is_pure_and_says_so(source: Path, tmp_path: Path, how: str) -> None:
    # What is asked of builds elsewhere must not be asked of this one.
    no_compiler = {"CC": "there-is-no-such-compiler", "IDLC_NATIVE": "auto"}
    more = no_compiler if how == "no compiler" else {"IDLC_NATIVE": "off"}
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", source, cwd=tmp_path, **more)

    assert run(python, "-c", WHICH, cwd=tmp_path) == "pure\n"
    said = run(tmp_path / "venv" / "bin" / "idlc", "doctor", cwd=tmp_path, **more)
    assert "pure" in said
    assert "install" in said


def test_a_native_codec_that_is_required_and_cannot_be_built_is_an_error(source: Path, tmp_path: Path) -> None:
    env = {**os.environ, "CC": "false", "IDLC_NATIVE": "require"}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(source), "-w", str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "cannot build the native codec" in done.stdout + done.stderr


def assert_complete_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {name for name in tracked() if name.startswith("idlc/")}
    wanted |= {name.removeprefix("runtime/") for name in tracked() if name.startswith("runtime/")}
    wanted |= {f"idlc/{name}" for name in tracked() if name.startswith(("grammars/", "templates/"))}
    # What the codecs in C are made of is of no use once they are built, or cannot be.
    wanted = {name for name in wanted if not name.endswith((".pyx", ".pxi", ".h"))}
    assert wanted <= names
    assert not any(name.endswith((".pyx", ".pxi", ".h", ".c")) for name in names)
    native = [name for name in names if name.endswith((".so", ".pyd"))]
    assert all(name.startswith("idlrt/serialization/_native.") for name in native)
    assert wheel.name.endswith("-none-any.whl") == (not native)
    assert {
        "idlc/py.typed",
        "idlrt/py.typed",
        "idlc/grammars/thrift.lark",
        "idlc/templates/python/module.py.j2",
        "idlrt/server/admin/templates/status.html",
        "idlrt/web/static/kit.js",
        "idlrt/web/templates/base.html",
        "idlrt/web/uplot/uPlot.iife.min.js",
    } <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"idlc", "idlrt"}
    for licence in ("LICENSE", "runtime/idlrt/openapi/page/LICENSE", "runtime/idlrt/web/uplot/LICENSE"):
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in names)


def assert_complete_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ("idlc/", "runtime/", "grammars/", "templates/", "tests/", "samples/")
    assert {name for name in tracked() if name.startswith(wanted)} <= names
    assert {"pyproject.toml", "Makefile", "README.md", "LICENSE"} <= names
