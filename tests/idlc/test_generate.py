"""`idlc generate`: all files of all targets or none, stale and orphaned files, manifests.

The namespace is one that no module of another test has, as that would be a warning.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from idlc.cli import main

CONFIG = 'roots = ["idl"]\n[[targets]]\noutput = "src"\n'
FILES = {
    "idlc.toml": CONFIG,
    "idl/user.thrift": "namespace py gendemo\nstruct User { 1: i64 id }\n",
    "idl/order.thrift": "namespace py gendemo\ninclude 'user.thrift'\nstruct Order { 1: user.User user }\n",
}
OUTPUTS = ["gendemo/__init__.py", "gendemo/order.py", "gendemo/py.typed", "gendemo/user.py"]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`idlc generate ARGUMENTS...` in the folder of a project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDLC_CACHE_DIR", str(tmp_path / "cache"))
    write(tmp_path, FILES)
    return lambda *arguments: CliRunner().invoke(main, ["generate", *arguments])


def generated(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_files_and_a_manifest_are_written(run, tmp_path: Path) -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "src: 5 files, 5 written, 0 unchanged\n"
    assert generated(tmp_path / "src") == [".idlc-manifest.json", *OUTPUTS]
    manifest = json.loads((tmp_path / "src/.idlc-manifest.json").read_text())
    assert manifest == {"files": {name: ["../#python"] for name in OUTPUTS}}


@pytest.mark.parametrize("options", [(), ("--no-cache",)])
def test_a_second_run_writes_nothing(run, options: tuple[str, ...]) -> None:
    run(*options)
    assert run(*options).stdout == "src: 5 files, 0 written, 5 unchanged\n"
    assert run("--check", *options).exit_code == 0


def test_it_runs_in_folders_below(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "idl")
    assert run().stdout == f"{tmp_path}/src: 5 files, 5 written, 0 unchanged\n"


def test_check_shows_what_is_stale(run, tmp_path: Path) -> None:
    run()
    write(tmp_path, {"idl/user.thrift": "namespace py gendemo\nstruct User { 1: i64 user_id }\n"})
    before = (tmp_path / "src/gendemo/user.py").read_text()
    result = run("--check")
    assert result.exit_code == 1
    assert "-    id: int | None = None\n+    user_id: int | None = None\n" in result.stdout
    assert result.stderr == "out of date: src/gendemo/user.py\n1 file out of date, 0 orphaned; run `idlc generate`\n"
    assert run("--check", "--no-diff").stdout == ""
    assert (tmp_path / "src/gendemo/user.py").read_text() == before


def test_a_missing_file_is_stale(run, tmp_path: Path) -> None:
    run()
    (tmp_path / "src/gendemo/py.typed").unlink()
    assert "out of date: src/gendemo/py.typed" in run("--check").stderr


@pytest.mark.parametrize("options", [(), ("--no-cache",)])
def test_orphans_are_told_kept_and_removed(run, tmp_path: Path, options: tuple[str, ...]) -> None:
    run(*options)
    (tmp_path / "idl/order.thrift").unlink()
    assert run("--check", "--no-diff", *options).stderr == (
        "out of date: src/gendemo/__init__.py\norphaned: src/gendemo/order.py\n"
        "1 file out of date, 1 orphaned; run `idlc generate --clean`\n"
    )
    kept = run(*options)
    assert kept.stderr == "orphaned: src/gendemo/order.py; `idlc generate --clean` removes it\n"
    assert "order" not in (tmp_path / "src/gendemo/__init__.py").read_text()
    assert run("--check", *options).exit_code == 1
    assert run("--clean", *options).stdout == "src: 4 files, 1 written, 3 unchanged, 1 removed\n"
    assert generated(tmp_path / "src") == [
        ".idlc-manifest.json",
        "gendemo/__init__.py",
        "gendemo/py.typed",
        "gendemo/user.py",
    ]
    assert run("--check", *options).exit_code == 0


def test_orphans_of_a_target_that_is_gone(run, tmp_path: Path) -> None:
    write(tmp_path, {"idlc.toml": CONFIG + '[[targets]]\nname = "openapi"\noutput = "src"\n'})
    run()
    assert "openapi.json" in generated(tmp_path / "src")
    write(tmp_path, {"idlc.toml": CONFIG})
    assert "orphaned: src/openapi.json" in run("--check").stderr
    run("--clean")
    assert generated(tmp_path / "src") == [".idlc-manifest.json", *OUTPUTS]


def test_files_of_others_are_left_alone(run, tmp_path: Path) -> None:
    run()
    write(
        tmp_path,
        {
            "src/gendemo/mine.py": "",
            "other/idlc.toml": CONFIG.replace('"src"', '"../src"'),
            "other/idl/pay.thrift": "namespace py pay\nstruct Pay {}",
        },
    )
    assert run("--config", "other/idlc.toml", "--clean").exit_code == 0
    assert run("--clean").exit_code == 0
    assert {"gendemo/mine.py", "gendemo/user.py", "pay/pay.py"} <= set(generated(tmp_path / "src"))


def test_one_target_of_several(run, tmp_path: Path) -> None:
    write(tmp_path, {"idlc.toml": CONFIG + '[[targets]]\nname = "openapi"\noutput = "api"\n'})
    assert run("--target", "openapi").stdout.startswith("api: 2 files, 2 written")
    assert not (tmp_path / "src").exists()
    result = run("--target", "opnapi")
    assert result.exit_code == 2
    assert "no target 'opnapi'; known: openapi, openapi:api, python, python:src" in result.stderr


def test_with_errors_nothing_is_written(run, tmp_path: Path) -> None:
    write(tmp_path, {"idl/wrong.thrift": "struct A { 1: B b }"})
    result = run()
    assert (result.exit_code, (tmp_path / "src").exists()) == (1, False)
    assert "error[type.undefined]" in result.stderr


def test_no_folder_is_changed_if_one_cannot_be_written(run, tmp_path: Path) -> None:
    write(tmp_path, {"idlc.toml": CONFIG + '[[targets]]\nname = "openapi"\noutput = "api/file"\n', "api": ""})
    result = run()
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
    assert not (tmp_path / "src").exists()


def test_outputs_are_listed_and_nothing_is_written(run, tmp_path: Path) -> None:
    listed = run("--list-outputs").stdout.split()
    assert not (tmp_path / "src").exists()
    run()
    assert listed == [f"src/{name}" for name in generated(tmp_path / "src")]
    assert run("--list-outputs").stdout.split() == listed


def test_a_depfile_names_outputs_and_inputs(run, tmp_path: Path) -> None:
    for _ in range(2):  # written, and up to date
        run("--depfile", "out.d")
        outputs, _, inputs = (tmp_path / "out.d").read_text().partition(": ")
        assert sorted(outputs.split()) == sorted(f"src/{name}" for name in generated(tmp_path / "src"))
        assert inputs.split() == [str(tmp_path / name) for name in ("idl/order.thrift", "idl/user.thrift")]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('roots = ["idl"]', "idlc.toml: no targets; add a table [[targets]] with a key `output`"),
        (CONFIG.replace('"idl"', '"ild"'), "idlc.toml: inputs: 'ild' matches no .idl or .thrift file"),
        (CONFIG.replace("]\n", ']\nexclude = ["idl/*"]\n', 1), "idlc.toml: all inputs are excluded"),
        (CONFIG + 'name = "perl"\n', "no target named 'perl'"),
        (
            CONFIG + '[[targets]]\nname = "python"\noutput = "./src"\n',
            "have the same output folder",
        ),
    ],
)
def test_configurations_that_make_no_sense(run, tmp_path: Path, config: str, message: str) -> None:
    write(tmp_path, {"idlc.toml": config})
    result = run()
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_a_configuration(run, tmp_path: Path) -> None:
    (tmp_path / "idlc.toml").unlink()
    result = run()
    assert result.exit_code == 2
    assert "no idlc.toml, and no pyproject.toml with [tool.idlc]" in result.stderr


def test_files_that_were_not_generated_are_neither_replaced_nor_removed(run, tmp_path: Path) -> None:
    write(tmp_path, {"src/gendemo/user.py": "# mine\n"})
    result = run()
    assert result.exit_code == 2
    assert "'src/gendemo/user.py' exists and was not generated; move it away" in result.stderr
    assert generated(tmp_path / "src") == ["gendemo/user.py"]
    (tmp_path / "src/gendemo/user.py").unlink()
    run()
    (tmp_path / "idl/order.thrift").unlink()
    write(tmp_path, {"src/gendemo/order.py": "# mine\n"})
    assert run("--clean").exit_code == 0
    assert (tmp_path / "src/gendemo/order.py").read_text() == "# mine\n"


def test_other_files_that_were_not_generated_are_not_replaced(run, tmp_path: Path) -> None:
    write(tmp_path, {"idlc.toml": CONFIG.replace("[[targets]]", '[[targets]]\nname = "openapi"')})
    write(tmp_path, {"src/openapi.json": "{}"})
    result = run()
    assert result.exit_code == 2
    assert "'src/openapi.json' exists and was not generated" in result.stderr
    assert (tmp_path / "src/openapi.json").read_text() == "{}"


def test_manifests_do_not_lead_out_of_the_folder(run, tmp_path: Path) -> None:
    run()
    write(tmp_path, {"src/.idlc-manifest.json": '{"files": {"../precious": ["../#python"]}}', "precious": ""})
    result = run("--clean")
    assert result.exit_code == 2
    assert "'../precious' is not below the output folder" in result.stderr
    assert (tmp_path / "precious").exists()


def test_configurations_share_a_namespace(run, tmp_path: Path) -> None:
    other = CONFIG.replace('"idl"', '"more"')
    write(tmp_path, {"other.toml": other, "more/pay.thrift": "namespace py gendemo\nstruct Pay {}"})
    run()
    run("--config", "other.toml")
    assert '"Pay"' in (tmp_path / "src/gendemo/__init__.py").read_text()
    assert '"User"' in (tmp_path / "src/gendemo/__init__.py").read_text()
    for name in ("idlc.toml", "other.toml"):
        assert run("--config", name, "--check").exit_code == 0
    write(tmp_path, {"more/pay.thrift": "namespace py pay\nstruct Pay {}"})
    assert "1 removed" in run("--config", "other.toml", "--clean").stdout
    pay = ["pay/__init__.py", "pay/pay.py", "pay/py.typed"]
    assert generated(tmp_path / "src") == [".idlc-manifest.json", *OUTPUTS, *pay]


def test_the_table_can_move_to_pyproject(run, tmp_path: Path) -> None:
    run()
    text = CONFIG.replace("[[targets]]", "[[tool.idlc.targets]]")
    write(tmp_path, {"pyproject.toml": f"[tool.idlc]\n{text}"})
    (tmp_path / "idlc.toml").unlink()
    (tmp_path / "idl/order.thrift").unlink()
    assert "1 removed" in run("--clean").stdout


def test_what_a_killed_run_left_is_completed_before_the_cache_is_asked(run, tmp_path: Path) -> None:
    run()
    write(tmp_path, {"src/.idlc-0.stage/plan.json": '{"replaced": ["gendemo/extra.py"], "removed": []}'})
    write(tmp_path, {"src/.idlc-0.stage/new0": "# Generated by idlc\n"})
    run()
    assert "gendemo/extra.py" in generated(tmp_path / "src")
    assert not (tmp_path / "src/.idlc-0.stage").exists()


def test_folders_are_changed_together_or_not_at_all(run, tmp_path: Path) -> None:
    write(tmp_path, {"idlc.toml": CONFIG + '[[targets]]\nname = "openapi"\noutput = "api"\n'})
    (tmp_path / "api/openapi.json").mkdir(parents=True)
    result = run()
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
    assert not (tmp_path / "src").exists()


def test_a_damaged_manifest_is_not_overwritten(run, tmp_path: Path) -> None:
    run()
    write(tmp_path, {"src/.idlc-manifest.json": "<<<<<<< HEAD"})
    result = run()
    assert result.exit_code == 2
    assert "cannot read 'src/.idlc-manifest.json'" in result.stderr


WARNED = "namespace py {0}\nunion {0} {{ 1: required i32 a }}\n"


def test_severities_and_paths_of_the_configuration(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"idl/old/a.thrift": WARNED.format("A"), "idl/b.thrift": WARNED.format("B")})
    write(tmp_path, {"idlc.toml": CONFIG + '[checks.paths."idl/old/**"]\n"union.required" = "off"\n'})
    monkeypatch.chdir(tmp_path / "idl")  # patterns are relative to the configuration
    for _ in range(2):  # generated, and up to date
        result = run("--error-format", "short")
        assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["b.thrift"]
    assert run("-W", "error").exit_code == 1
    (tmp_path / "idlc.toml").write_text(CONFIG + '[checks.severity]\n"union.requird" = "off"\n')
    result = run()
    assert result.exit_code == 2
    assert "idlc.toml:4: checks: severity: unknown diagnostic" in result.stderr
    assert "did you mean `union.required`?" in result.stderr


def test_compile_and_lint_follow_the_configuration(run, tmp_path: Path) -> None:
    write(tmp_path, {"idl/b.thrift": WARNED.format("B")})
    assert "union.required" in CliRunner().invoke(main, ["compile", "idl/b.thrift"]).stderr
    write(tmp_path, {"idlc.toml": CONFIG + '[checks.severity]\nall = "off"\n'})
    assert CliRunner().invoke(main, ["compile", "idl/b.thrift"]).stderr == ""
    assert CliRunner().invoke(main, ["lint"]).stdout == "no findings in 3 files\n"


def test_documents_are_alone_on_standard_output(run, tmp_path: Path) -> None:
    for arguments in ((), ("--check",)):
        assert json.loads(run("--error-format", "json", *arguments).stdout)
    (tmp_path / "idl/order.thrift").unlink()
    result = run("--error-format", "json")
    assert json.loads(result.stdout)
    assert "orphaned: src/gendemo/order.py" in result.stderr
    result = run("--check", "--error-format", "json")
    assert (result.exit_code, bool(json.loads(result.stdout))) == (1, True)


@pytest.mark.parametrize("options", [("--check", "--clean"), ("--list-outputs", "--check")])
def test_modes_exclude_each_other(run, options: tuple[str, ...]) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_at_most_as_many_errors_as_the_configuration_says(run, tmp_path: Path) -> None:
    write(tmp_path, {"idl/wrong.thrift": "struct A { 1: B b\n 2: C c\n 3: D d }"})
    write(tmp_path, {"idlc.toml": "checks.max_errors = 1\n" + CONFIG})
    assert "2 more errors not shown" in run().stderr
    assert "not shown" not in run("--max-errors", "0").stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('exclude = ["/idl/*"]', "idlc.toml:2: exclude: patterns must be relative to the folder of the configuration"),
        ('exclude = ["."]', "idlc.toml:2: exclude: must be a pattern, got '.'"),
        ('inputs = ["**.thrift"]', "idlc.toml:2: inputs: `**` must be a whole name between slashes"),
    ],
)
def test_patterns_that_are_impossible(run, tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, {"idlc.toml": f"\n{line}\n" + CONFIG.replace('roots = ["idl"]\n', "")})
    result = run()
    assert result.exit_code == 2
    assert message in result.stderr


def test_templates_that_are_gone_are_an_error(run, tmp_path: Path) -> None:
    write(tmp_path, {"idlc.toml": CONFIG + 'templates = "nowhere"\n'})
    assert "templates: 'nowhere' is no folder" in run().stderr
