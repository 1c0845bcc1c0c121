"""`idlc doctor` as a process, in complete and in broken installations.

An installation is defined by its metadata. Tests write metadata to a folder that precedes the installed packages.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import idlc
from idlc.doctor import Installation, examine, render, to_json
from idlc.doctor.examine import PURPOSES
from idlc.doctor.installation import Backend

# Each test takes a second or more.
pytestmark = pytest.mark.slow

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]

Run = Callable[..., subprocess.CompletedProcess[str]]


def install(
    folder: Path,
    name: str = "idlc",
    version: str = idlc.__version__,
    requires: Sequence[str] = (),
    entry_points: dict[str, dict[str, str]] | None = None,
) -> None:
    """Write the metadata of an installed package."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    if name == "idlc":
        lines.append(f"Requires-Python: {PROJECT['requires-python']}")
        lines += [f"Requires-Dist: {each}" for each in PROJECT["dependencies"]]
        for extra, packages in PROJECT["optional-dependencies"].items():
            lines.append(f"Provides-Extra: {extra}")
            lines += [f"Requires-Dist: {each}; extra == '{extra}'" for each in packages]
    lines += [f"Requires-Dist: {each}" for each in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
    groups = PROJECT["entry-points"] if entry_points is None else entry_points
    text = "".join(
        f"[{group}]\n" + "".join(f"{each} = {place}\n" for each, place in entries.items())
        for group, entries in groups.items()
    )
    (info / "entry_points.txt").write_text(text, "utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder of packages that precedes all others in the module path."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def run(tmp_path: Path, site: Path) -> Run:
    """Return a function that runs `idlc doctor ARGUMENTS...` in an empty folder."""

    def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        env = {name: value for name, value in os.environ.items() if name not in ("IDLRT_BACKEND", "CC")}
        env |= {"PYTHONPATH": path, "IDLC_CACHE_DIR": str(tmp_path / "cache"), **variables}
        command = [sys.executable, "-m", "idlc", "doctor", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return doctor


def findings(done: subprocess.CompletedProcess[str], severity: str) -> list[str]:
    assert done.stderr == ""
    return [each["message"] for each in json.loads(done.stdout)["findings"] if each["severity"] == severity]


def test_a_complete_installation_has_no_errors(run: Run, site: Path, tmp_path: Path) -> None:
    install(site)
    done = run("--json")
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr, findings(done, "error"), said["is_fine"]) == (0, "", [], True)
    assert said["version"] == said["metadata"] == said["runtime"]["version"] == idlc.__version__
    assert said["python"]["executable"] == sys.executable
    assert said["runtime"]["stubs_error"] == ""
    assert {each["name"] for each in said["dependencies"]} >= {"black", "click", "jinja2", "lark", "msgspec"}
    assert all(each["is_satisfied"] and each["found"] for each in said["dependencies"])
    assert [each["name"] for each in said["extras"]] == sorted(PROJECT["optional-dependencies"])
    assert said["backend"]["name"] in ("native", "pure")
    assert said["cache"] == {"folder": str(tmp_path / "cache"), "error": ""}
    for group, entries in PROJECT["entry-points"].items():
        if not group.startswith(("idlc.", "idlrt.")):
            continue  # of build tools
        assert {each["name"]: each["place"] for each in said["plugins"][group]} == entries
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_text_and_json_agree(run: Run, site: Path) -> None:
    install(site)
    done = run()
    said = json.loads(run("--json").stdout)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line for line in lines if line and not line.startswith((" ", "error", "warning"))][:-1] == [
        "versions",
        "dependencies",
        "extras",
        "codecs",
        "cache",
        "plugins",
    ]
    assert re.search(rf"^  idlrt +{idlc.__version__} +{re.escape(said['runtime']['folder'])}$", done.stdout, re.M)
    for each in said["dependencies"]:
        assert re.search(rf"^  {each['name']} +{re.escape(each['found'])} +satisfies ", done.stdout, re.M)
    assert re.search(rf"^  backend +{said['backend']['name']}\b", done.stdout, re.M)
    assert re.search(r"^  idlrt.framings +framed +idlrt.protocol.thrift.framing:Framed$", done.stdout, re.M)
    # Values of a section are aligned.
    columns = {re.search(rf"^(  {each['name']} +){each['found']} ", done.stdout, re.M) for each in said["dependencies"]}
    assert len({len(found[1]) for found in columns if found}) == 1


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("not-there-at-all>=1.5", "dependency not-there-at-all is missing: idlc requires >=1.5"),
        *(
            pytest.param(requirement, message, marks=pytest.mark.slow)
            for requirement, message in (
                ("not-there-at-all", "dependency not-there-at-all is missing: idlc requires any version"),
                ("click>=999", r"dependency click \d[\d.]* is not supported: idlc requires >=999"),
            )
        ),
    ],
)
def test_a_missing_or_outdated_dependency_is_an_error(run: Run, site: Path, requirement: str, message: str) -> None:
    install(site, requires=[requirement])
    done = run("--json")
    assert done.returncode == 1
    assert len(findings(done, "error")) == 1
    assert re.fullmatch(message, findings(done, "error")[0])
    text = run().stdout
    assert f"pip install '{requirement}'" in text
    assert re.search(r"^  (not-there-at-all +missing +requires|click +\S+ +does not satisfy) [>a]", text, re.M)


@pytest.mark.slow
def test_requirements_of_other_python_versions_are_ignored(run: Run, site: Path) -> None:
    install(site, requires=["not-there-at-all; python_version < '3'", "nor-this; extra == 'testing'"])
    done = run("--json")
    assert done.returncode == 0
    (extra,) = [each for each in json.loads(done.stdout)["extras"] if each["name"] == "testing"]
    assert [(each["name"], each["found"]) for each in extra["packages"]][1:] == [("nor-this", None)]
    assert re.search(r"^  testing: nor-this +missing", run().stdout, re.M)


@pytest.mark.slow
def test_a_missing_packaging_library_is_reported(run: Run, site: Path) -> None:
    install(site)
    (site / "packaging").mkdir()
    (site / "packaging/__init__.py").write_text("raise ImportError('no packaging')")
    done = run("--json")
    assert done.returncode == 1
    assert "dependency packaging is missing: cannot check the versions of other dependencies" in findings(done, "error")


def test_it_runs_without_its_dependencies(run: Run, site: Path) -> None:
    install(site)
    for name in ("black", "jinja2", "lark", "msgspec"):
        (site / f"{name}.py").write_text(f"raise ImportError('no {name}')")
    done = run("--json")
    assert done.returncode == 1
    assert "cannot import the runtime idlrt: ImportError: no msgspec" in findings(done, "error")


def test_a_plugin_that_fails_to_load(run: Run, site: Path) -> None:
    install(site)
    (site / "stranger.py").write_text("print('noise on standard output')\nraise RuntimeError('of no\\nuse')")
    install(site, "stranger", "1.0", entry_points={"idlrt.framings": {"strange": "stranger:Framing"}})
    done = run("--json")
    assert done.returncode == 1
    message = "cannot load plugin 'strange' of idlrt.framings (stranger:Framing): RuntimeError: of no use"
    assert findings(done, "error") == [message]
    text = run().stdout
    assert f"error: {message}\n  help: upgrade or uninstall stranger" in text
    assert re.search(
        r"^  idlrt.framings +strange +stranger:Framing \(cannot be loaded: RuntimeError: of no use\)$", text, re.M
    )


@pytest.mark.slow
@pytest.mark.parametrize("code", ["raise SystemExit(0)", "raise KeyboardInterrupt"])
def test_a_plugin_that_raises_system_exit(run: Run, site: Path, code: str) -> None:
    install(site)
    (site / "stranger.py").write_text(code)
    install(site, "stranger", "1.0", entry_points={"idlc.targets": {"strange": "stranger"}})
    done = run("--json")
    assert done.returncode == 1
    (message,) = findings(done, "error")
    assert message.startswith("cannot load plugin 'strange' of idlc.targets (stranger): ")


@pytest.mark.slow
def test_a_plugin_that_ends_the_process(run: Run, site: Path) -> None:
    install(site)
    (site / "stranger.py").write_text("import os, sys; print('last words', file=sys.stderr, flush=True); os._exit(3)")
    install(site, "stranger", "1.0", entry_points={"idlc.targets": {"strange": "stranger"}})
    done = run("--json")
    assert done.returncode == 1
    (message,) = findings(done, "error")
    assert message.endswith("the process that imports it and all plugins exited with 3: last words")


@pytest.mark.slow
def test_plugins_that_are_not_registered(run: Run, site: Path) -> None:
    install(site, entry_points={})
    done = run("--json")
    assert done.returncode == 1
    assert "no plugins of idlrt.serializations are registered" in findings(done, "error")


@pytest.mark.slow
def test_a_runtime_that_cannot_be_imported(run: Run, site: Path) -> None:
    install(site)
    (site / "idlrt").mkdir()
    (site / "idlrt/__init__.py").write_text("raise ImportError('half of it is missing')")
    done = run("--json")
    assert done.returncode == 1
    assert "cannot import the runtime idlrt: ImportError: half of it is missing" in findings(done, "error")
    assert json.loads(done.stdout)["backend"]["name"] == ""
    assert re.search(r"^  idlrt +unknown$", run().stdout, re.M)


@pytest.mark.slow
def test_the_working_directory_does_not_shadow_the_runtime(run: Run, site: Path, tmp_path: Path) -> None:
    install(site)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/idlrt.py").write_text("raise ImportError('not me')")
    command = [str(Path(sys.executable).with_name("idlc")), "doctor"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_a_warning(run: Run, site: Path, tmp_path: Path) -> None:
    install(site)
    (tmp_path / "file").write_text("in the way")
    done = run("--json", IDLC_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert done.returncode == 0
    (message,) = [each for each in findings(done, "warning") if "cache" in each]
    assert message.startswith(f"cannot write to the cache folder {tmp_path}/file/cache: ")


@pytest.mark.slow
def test_requested_pure_codecs_are_no_warning(run: Run, site: Path) -> None:
    install(site)
    done = run("--json", IDLRT_BACKEND="pure")
    said = json.loads(done.stdout)["backend"]
    assert (done.returncode, findings(done, "warning")) == (0, [])
    assert (said["name"], said["reason"], said["help"]) == ("pure", "requested by IDLRT_BACKEND=pure", "")


@pytest.mark.slow
@pytest.mark.long
def test_the_compiler_is_that_of_a_build(run: Run, site: Path, tmp_path: Path) -> None:
    install(site)
    tools = tmp_path / "tools"
    tools.mkdir()

    def compiler(**variables: str) -> str | None:
        found: str | None = json.loads(run("--json", **variables).stdout)["backend"]["compiler"]
        return found

    assert compiler(PATH=str(tools)) is None
    for name in ("clang", "gcc", "mycc"):
        (tools / name).write_text("#!/bin/false\n")
        (tools / name).chmod(0o755)
    assert compiler(PATH=str(tools)) == str(tools / "gcc")
    assert compiler(PATH=str(tools), CC="mycc -m64") == str(tools / "mycc")
    assert compiler(PATH=str(tools), CC="nocc") == str(tools / "gcc")


# Findings


@pytest.fixture(scope="module")
def seen() -> Installation:
    return dataclasses.replace(examine(), metadata=idlc.__version__)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": None}, "idlc runs from a source folder and is not installed"),
        (
            {"metadata": "0.0.1"},
            f"version mismatch: idlc is {idlc.__version__}, but its installed metadata is of 0.0.1",
        ),
        (
            {"python": {"wanted": ">=99", "is_satisfied": False, "version": "3.11.0"}},
            "Python 3.11.0 is not supported: idlc requires >=99",
        ),
        ({"runtime": {"stubs_error": "ImportError: too old"}}, "stubs of this idlc are incompatible with this idlrt: "),
        ({"backend": {"name": "pure", "reason": "there is no C compiler", "help": "install one"}}, "no C compiler"),
    ],
)
def test_problems_are_reported_with_help(seen: Installation, changes: dict[str, Any], message: str) -> None:
    parts = {
        name: dataclasses.replace(getattr(seen, name), **change) if isinstance(change, dict) else change
        for name, change in changes.items()
    }
    changed = dataclasses.replace(seen, **parts)
    (found,) = [each for each in changed.findings() if message in each.message]
    assert found.help
    assert f"{found.severity}: {found.message}\n  help: {found.help}" in render(changed)
    assert dataclasses.asdict(found) in json.loads(to_json(changed))["findings"]
    assert changed.is_fine == all(each.severity == "warning" for each in changed.findings())


def test_no_problems_found(seen: Installation) -> None:
    native = Backend(name="native", reason="", help="", compiler=None)
    nothing = {
        group: tuple(dataclasses.replace(each, error="") for each in all_) for group, all_ in seen.plugins.items()
    }
    fine = dataclasses.replace(seen, backend=native, plugins=nothing)
    assert (fine.is_fine, fine.findings()) == (True, [])
    assert render(fine).endswith("\n\nno problems found")


def test_every_extra_has_a_purpose() -> None:
    assert sorted(PURPOSES) == sorted(PROJECT["optional-dependencies"])
