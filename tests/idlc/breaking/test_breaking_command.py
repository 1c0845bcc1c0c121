"""`idlc breaking` and `idlc snapshot`: versions to compare with, options, exit codes, and a real Git repository."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from idlc.cli import main

OLD = {
    "idl/shop.idl": 'include "common/types.idl"\nstruct Item { 1: types.Id id; 2: string name }\n',
    "idl/common/types.idl": "typedef i64 Id\n",
    "idl/other.thrift": "service Other { void ping() }\n",
}
NEW_SHOP = OLD["idl/shop.idl"].replace("string name", "i32 name")
FINDING = "idl/shop.idl:2:34: error: the type of field `name` of `Item` changed from `string` to `i32`"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`idlc ARGUMENTS...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "FORCE_COLOR", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    # The settings of this machine must not matter.
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, check=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and a change of `idl/shop.idl` that is not committed."""
    write(tmp_path, OLD)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "idl")
    git(tmp_path, "commit", "-q", "-m", "first")
    write(tmp_path, {"idl/shop.idl": NEW_SHOP})
    return tmp_path


def test_a_file_against_a_file(run: Run, tmp_path: Path) -> None:
    write(tmp_path, {"v1/shop.idl": "struct A { 1: i32 a }", "v2/store.idl": "struct A { 1: i64 a }"})
    result = run("breaking", "v2/store.idl", "--against", "v1/shop.idl")
    assert result.exit_code == 1
    assert result.stdout == "compared 1 file with v1/shop.idl: 1 incompatible change (JSON 1, SOURCE 1, WIRE 1)\n"
    assert result.stderr == (
        "error[breaking.field.type]: the type of field `a` of `A` changed from `i32` to `i64`: "
        "old and new programs cannot read each other's values\n"
        " --> v2/store.idl:1:15\n"
        "  |\n"
        "1 | struct A { 1: i64 a }\n"
        "  |               ^^^ WIRE, JSON, SOURCE\n"
        " ::: v1/shop.idl:1:15\n"
        "  |\n"
        "1 | struct A { 1: i32 a }\n"
        "  |               --- was `i32`\n"
        "  |\n"
        "  = help: add a field with a new id instead, and keep this one\n"
        "\n"
        "1 error\n"
    )
    same = run("breaking", "v1/shop.idl", "--against", "v1/shop.idl")
    assert (same.exit_code, same.stderr) == (0, "")
    assert same.stdout == "compared 1 file with v1/shop.idl: no incompatible changes\n"


def test_a_folder_against_a_folder(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "main", OLD)
    write(tmp_path, OLD | {"idl/shop.idl": NEW_SHOP})
    for arguments in (["idl", "--against", "main/idl"], ["idl/shop.idl", "idl/other.thrift", "--against", "main"]):
        result = run("breaking", *arguments, "--error-format", "short", "-q")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(FINDING)
        assert len(result.stderr.splitlines()) == 1
    (tmp_path / "idl/other.thrift").unlink()
    result = run("breaking", "idl", "--against", "main/idl", "--error-format", "short")
    assert "file `other.thrift` was removed" in result.stderr
    assert run("breaking", "idl/shop.idl", "--against", "main", "-c", "rest").exit_code == 0


def test_new_files_are_no_finding(run: Run, repository: Path) -> None:
    write(repository, OLD | {"idl/fresh.idl": "struct Fresh {}\n", "new/new.idl": "struct New {}\n"})
    result = run("breaking", "idl", "new", "--against", "git:HEAD")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("against", ["git:HEAD", "git:main", "git:HEAD:idl"])
def test_a_folder_against_a_revision(run: Run, repository: Path, against: str) -> None:
    result = run("breaking", "idl", "--against", against, "--error-format", "short")
    assert result.exit_code == 1
    assert result.stderr.startswith(FINDING)
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout.startswith(f"compared 3 files with {against}: 1 incompatible change ")


def test_the_place_in_a_revision_is_shown(run: Run, repository: Path) -> None:
    result = run("breaking", "idl/shop.idl", "--against", "git:HEAD")
    assert " ::: HEAD:/idl/shop.idl:2:34\n" in result.stderr
    assert "2 | struct Item { 1: types.Id id; 2: string name }\n" in result.stderr


def test_includes_are_those_of_the_revision(run: Run, repository: Path) -> None:
    write(repository, {"idl/common/types.idl": "typedef string Id\n", "idl/shop.idl": OLD["idl/shop.idl"]})
    result = run("breaking", "idl/shop.idl", "--against", "git:HEAD", "--error-format", "short")
    assert "the type of typedef `Id` changed from `i64` to `string`" in result.stderr


def test_include_folders_are_those_of_the_revision(run: Run, tmp_path: Path) -> None:
    write(
        tmp_path, {"lib/base.idl": "typedef i64 Id\n", "app/a.idl": 'include "base.idl"\nstruct A { 1: base.Id id }\n'}
    )
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "lib", "app")
    git(tmp_path, "commit", "-q", "-m", "first")
    write(tmp_path, {"lib/base.idl": "typedef i32 Id\n"})
    result = run("breaking", "app", "-I", "lib", "--against", "git:HEAD", "--error-format", "short")
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["lib/base.idl:1:9"]
    # A file that is new in the working tree is not part of the revision.
    write(tmp_path, {"lib/base.idl": "typedef i64 Id\n", "lib/extra.idl": "typedef i64 Id\n"})
    write(tmp_path, {"app/a.idl": 'include "extra.idl"\nstruct A { 1: extra.Id id }\n'})
    assert run("breaking", "app", "-I", "lib", "--against", "git:HEAD", "-c", "WIRE").exit_code == 0


def test_links_and_files_that_are_not_utf8(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"deep/idl/a.idl": "struct A { 1: i32 a }\n"})
    (tmp_path / "deep/idl/b.idl").symlink_to("a.idl")
    (tmp_path / "deep/idl/c.idl").write_bytes(b"// caf\xe9\nstruct C { 1: i32 c }\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "deep")
    git(tmp_path, "commit", "-q", "-m", "first")
    write(tmp_path, {"deep/idl/a.idl": "struct A { 1: i64 a }\n"})
    (tmp_path / "deep/idl/c.idl").write_text("// café\nstruct C { 1: i64 c }\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "deep")
    result = run("breaking", "idl", "--against", "git:HEAD", "--error-format", "short", "-q")
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["idl/a.idl:1:15", "idl/c.idl:2:15"]


def usage_error(result: Result) -> str:
    assert result.exit_code == 2, result.output
    return result.stderr.partition("Error: ")[2].strip()


def test_revisions_that_cannot_be_read(run: Run, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert usage_error(run("breaking", "idl", "--against", "git:nope")) == (
        "cannot compare with 'git:nope': unknown revision 'nope'; "
        "is it spelled correctly, and fetched (`git fetch origin nope`)?"
    )
    assert "invalid revision" in usage_error(run("breaking", "idl", "--against", "git:"))
    assert "invalid revision '--all'" in usage_error(run("breaking", "idl", "--against", "git:--all"))
    outside = tmp_path_factory.mktemp("outside")
    write(outside, OLD)
    assert usage_error(run("breaking", str(outside / "idl"), "--against", "git:HEAD")).endswith(
        "is not in a Git repository"
    )
    assert "is not in the repository" in usage_error(
        run("breaking", "idl", str(outside / "idl/other.thrift"), "--against", "git:HEAD")
    )
    assert "has no IDL files below 'none'" in usage_error(run("breaking", "idl", "--against", "git:HEAD:none"))


def test_a_shallow_clone_is_told(run: Run, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    git(repository, "commit", "-q", "-a", "-m", "second")
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    git(repository, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    message = usage_error(run("breaking", str(clone / "idl"), "--against", "git:HEAD~1"))
    assert "the clone is shallow: fetch its history" in message


def test_git_must_be_installed(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository / "nothing"))
    assert usage_error(run("breaking", "idl", "--against", "git:HEAD")) == (
        "cannot compare with 'git:HEAD': cannot run `git`: it is not installed, or not in PATH"
    )


def test_other_usage_errors(run: Run, repository: Path) -> None:
    assert "missing option '--against'" in usage_error(run("breaking", "idl"))
    assert "no idlc.toml" in usage_error(run("breaking", "--against", "git:HEAD"))
    assert "cannot read 'none.json'" in usage_error(run("breaking", "idl", "--against", "none.json"))
    assert "no such file or folder: 'none.idl'" in usage_error(run("breaking", "idl/shop.idl", "--against", "none.idl"))
    assert "cannot compare 3 files with the file 'idl/shop.idl'" in usage_error(
        run("breaking", "idl", "--against", "idl/shop.idl")
    )
    (repository / "empty").mkdir()
    assert "has none of the files" in usage_error(run("breaking", "idl", "--against", "empty"))
    (repository / "wrong.json").write_text("{}")
    assert "cannot compare with 'wrong.json': not a snapshot" in usage_error(
        run("breaking", "idl", "--against", "wrong.json")
    )
    assert usage_error(run("breaking", "idl", "--against", "git:HEAD", "-c", "WIRE,WIER")) == (
        "unknown category 'WIER' (known: WIRE, JSON, REST, SOURCE)"
    )
    assert usage_error(run("breaking", "idl", "--against", "git:HEAD", "--ignore", "field.typ")) == (
        "--ignore 'field.typ': no rule is called 'breaking.field.typ'; did you mean 'field.type'?"
    )


def test_errors_in_either_version_are_shown(run: Run, repository: Path) -> None:
    write(repository, {"idl/shop.idl": "struct {\n"})
    result = run("breaking", "idl", "--against", "git:HEAD")
    assert (result.exit_code, result.stdout) == (1, "")
    assert " --> idl/shop.idl:1" in result.stderr
    git(repository, "commit", "-q", "-a", "-m", "broken")
    write(repository, OLD)
    result = run("breaking", "idl", "--against", "git:HEAD")
    assert result.exit_code == 1
    assert " --> HEAD:/idl/shop.idl:1" in result.stderr
    assert "cannot compare with 'git:HEAD': it has errors" in result.stderr


def test_expected_changes_are_ignored(run: Run, repository: Path) -> None:
    for pattern in ("field.type", "*:Item.name", "breaking.field.*:idl/shop.idl"):
        assert run("breaking", "idl", "--against", "git:HEAD", "--ignore", pattern).exit_code == 0
    assert run("breaking", "idl", "--against", "git:HEAD", "--ignore", "field.type:Item.id").exit_code == 1


PROJECT = """
roots = ["idl"]
exclude = ["idl/old/*"]
[breaking]
against = "git:HEAD"
categories = ["WIRE", "SOURCE"]
ignore = ["field.type:Item.name"]
ignore_paths = ["common/*"]
"""


def test_a_project_has_its_settings_in_its_configuration(run: Run, repository: Path) -> None:
    write(repository, {"idlc.toml": PROJECT, "idl/old/gone.idl": "struct Gone {}\n"})
    git(repository, "add", "idl/old")
    git(repository, "commit", "-q", "-m", "excluded")
    write(repository, {"idl/common/types.idl": "typedef i32 Id\n", "idl/other.thrift": "service Other {}\n"})
    (repository / "idl/old/gone.idl").unlink()
    result = run("breaking", "--error-format", "short")
    assert (result.exit_code, result.stdout) == (
        1,
        "compared 3 files with git:HEAD: 1 incompatible change (JSON 1, SOURCE 1, WIRE 1)\n",
    )
    assert result.stderr.startswith("idl/other.thrift:1:9: error: function `ping` of `Other` was removed")
    # Arguments and options take precedence.
    assert run("breaking", "-c", "REST").exit_code == 0
    assert run("breaking", "idl/shop.idl", "--ignore", "typedef.*").exit_code == 0
    printed = run("snapshot")
    assert [file["path"] for file in json.loads(printed.stdout)["files"]][1:] == ["other.thrift", "shop.idl"]
    write(repository, {"s.json": printed.stdout, "idlc.toml": PROJECT.replace("git:HEAD", "s.json")})
    assert run("breaking").stdout == "compared 3 files with s.json: no incompatible changes\n"
    write(repository, {"idlc.toml": PROJECT.replace("field.type:", "field.typo:")})
    assert "[breaking] ignore: 'field.typo:Item.name': no rule" in usage_error(run("breaking"))
    write(repository, {"idlc.toml": PROJECT.replace('"WIRE"', '"WEAR"')})
    assert "unknown category 'WEAR'" in usage_error(run("breaking"))
    write(repository, {"idlc.toml": PROJECT.replace('["idl"]', '["none"]')})
    assert "inputs: 'none' matches no .idl or .thrift file" in usage_error(run("breaking"))


def test_all_formats_of_diagnostics(run: Run, repository: Path) -> None:
    name = "breaking.field.type"
    arguments = ["breaking", "idl", "--against", "git:HEAD", "--error-format"]
    assert name in json.dumps(json.loads(run(*arguments, "json").stdout))
    [sarif] = json.loads(run(*arguments, "sarif").stdout)["runs"]
    assert [each["ruleId"] for each in sarif["results"]] == [name]
    assert run(*arguments, "github").stderr.startswith("::error ")
    write(repository, OLD)
    assert json.loads(run(*arguments, "json").stdout)


def test_rules_are_listed(run: Run) -> None:
    result = run("breaking", "--rules")
    assert result.exit_code == 0
    assert "breaking.field.type  [WIRE, JSON, REST, SOURCE]\n    type of a field changed" in result.stdout


def test_a_snapshot_is_written_and_compared(run: Run, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(repository, OLD)
    printed = run("snapshot", "idl")
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert run("snapshot", "idl", "-o", "snapshot.json").stdout == ""
    assert (repository / "snapshot.json").read_text() == printed.stdout
    paths = [file["path"] for file in json.loads(printed.stdout)["files"]]
    assert paths == ["common/types.idl", "other.thrift", "shop.idl"]
    assert run("breaking", "idl", "--against", "snapshot.json").exit_code == 0
    write(repository, {"idl/shop.idl": NEW_SHOP})
    every = ["idl/shop.idl", "idl/other.thrift", "idl/common/types.idl"]
    for arguments in (["idl"], every):
        result = run("breaking", *arguments, "--against", "snapshot.json", "--error-format", "short")
        assert result.exit_code == 1
        assert result.stderr.startswith(FINDING)
        assert len(result.stderr.splitlines()) == 1
    monkeypatch.chdir(repository / "idl")
    result = run("breaking", ".", "--against", "../snapshot.json", "-q", "--error-format", "short")
    assert result.stderr.startswith(FINDING.removeprefix("idl/"))


def test_a_snapshot_keeps_removed_ids(run: Run, tmp_path: Path) -> None:
    write(tmp_path, {"a.idl": "struct A { 1: i32 a; 2: i32 b }"})
    assert run("snapshot", "a.idl", "-o", "s.json").exit_code == 0
    write(tmp_path, {"a.idl": "struct A { 1: i32 a }"})
    assert run("snapshot", "a.idl", "-o", "s.json", "--since", "s.json").exit_code == 0
    write(tmp_path, {"a.idl": "struct A { 1: i32 a; 2: string c }"})
    result = run("breaking", "a.idl", "--against", "s.json", "--error-format", "short")
    assert result.stderr == (
        "a.idl:1:22: error: id 2 of `A` belonged to `b`, which was removed earlier [breaking.field.retired]\n"
    )
    (tmp_path / "bad.json").write_text('{"format": 7}')
    assert "--since 'bad.json': snapshot of format 7" in usage_error(run("snapshot", "a.idl", "--since", "bad.json"))


def test_snapshots_of_wrong_files(run: Run, tmp_path: Path) -> None:
    write(tmp_path, {"a.idl": "struct A { 1: B b }"})
    result = run("snapshot", "a.idl", "-o", "s.json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error[type.undefined]" in result.stderr
    assert not (tmp_path / "s.json").exists()
    assert "no such file or folder" in usage_error(run("snapshot", "none.idl"))
    write(tmp_path, {"a.idl": "struct A {}", "file": ""})
    assert run("snapshot", "a.idl", "-o", "file/s.json").exit_code == 1


def test_changes_are_suppressed_in_the_source(run: Run, tmp_path: Path) -> None:
    write(tmp_path, {"old/a.thrift": "struct A { 1: i32 id }\nstruct B { 1: i32 id }\n"})
    write(tmp_path, {"new/a.thrift": "struct A {}  // idlc:ignore breaking.field.removed -- never set\nstruct B {}\n"})
    result = run("breaking", "new", "--against", "old", "--error-format", "short")
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == ["new/a.thrift:2:8"]
    assert "1 incompatible change" in result.stdout
    assert run("lint", "new", "-W", "docs=off", "-W", "namespace=off").exit_code == 0
    write(tmp_path, {"new/a.thrift": "struct A {}  // idlc:ignore breaking.field.remvoed\n"})
    assert "did you mean `breaking.field.removed`?" in run("lint", "new").stderr
