"""The configuration file: how it is found and read, and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

import idlc
from idlc import Config, ConfigError, find_config, read_config

WHOLE = """\
version = ">=0.1"
roots = ["idl", "common/idl"]
exclude = ["idl/old/**"]
include = ["third_party"]

[[targets]]
output = "src"
package = "shop.rpc"

[[targets]]
name = "openapi"
output = "api"

[checks.severity]
"type.key" = "off"

[format]
width = 80

[breaking]
against = "git:main"
categories = ["WIRE"]
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def read(folder: Path, text: str, name: str = "idlc.toml") -> Config:
    (folder / name).write_text(text, encoding="utf-8")
    return read_config(folder / name)


def test_a_file_with_all_tables(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    assert [target.label for target in config.targets] == ["python:src", "openapi:api"]
    assert config.targets[0].package == "shop.rpc"
    assert (config.format.width, config.breaking.categories) == (80, ["WIRE"])
    assert config.checks == {"severity": {"type.key": "off"}}
    assert config.include_dirs == tuple(tmp_path / name for name in ("idl", "common/idl", "third_party"))


def test_sources_are_those_of_roots_without_excluded_ones(tmp_path: Path) -> None:
    names = ["idl/b.thrift", "idl/a.idl", "idl/old/c.thrift", "common/idl/d.thrift", "third_party/e.thrift"]
    write(tmp_path, dict.fromkeys(names, ""))
    found = [str(path.relative_to(tmp_path)) for path in read(tmp_path, WHOLE).sources()]
    assert found == ["idl/a.idl", "idl/b.thrift", "common/idl/d.thrift"]


def test_inputs_are_files_folders_and_patterns(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(["a/x.thrift", "a/y.thrift", "b/z.thrift", "c.idl"], ""))
    found = read(tmp_path, 'inputs = ["c.idl", "a/*.thrift", "b", "a/y.thrift"]').sources()
    assert [str(path.relative_to(tmp_path)) for path in found] == ["c.idl", "a/x.thrift", "a/y.thrift", "b/z.thrift"]
    with pytest.raises(FileNotFoundError, match=r"d/\*\.thrift"):
        read(tmp_path, 'inputs = ["d/*.thrift"]').sources()


def test_the_nearest_file_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "[tool.idlc]\n", "a/pyproject.toml": "[project]\n", "a/b/idlc.toml": ""})
    (tmp_path / "a/b/c").mkdir()
    assert find_config(tmp_path / "a/b/c") == tmp_path / "a/b/idlc.toml"
    assert find_config(tmp_path / "a") == tmp_path / "pyproject.toml"
    write(tmp_path, {"idlc.toml": ""})
    assert find_config(tmp_path) == tmp_path / "idlc.toml"


def test_the_table_of_a_pyproject_file(tmp_path: Path) -> None:
    config = read(tmp_path, '[project]\nname = "x"\n\n[tool.idlc]\nroots = ["idl"]\n', "pyproject.toml")
    assert config.roots == ["idl"]
    with pytest.raises(ConfigError, match=r"pyproject\.toml: no \[tool\.idlc\]; add it, or use idlc\.toml"):
        read(tmp_path, '[project]\nname = "x"\n', "pyproject.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roots = [", "idlc.toml: invalid value (at end of document)"),
        ("a = 1\nroots = = 1", "idlc.toml:2:9: invalid value"),
        ('\nrots = ["idl"]', "idlc.toml:2: unknown key 'rots'; did you mean 'roots'?"),
        (
            '[[targets]]\noutput = "a"\n[[targets]]\noutptu = "b"',
            "unknown key 'targets.outptu'; did you mean 'output'?",
        ),
        ("[format]\nindent = 4", "idlc.toml:2: unknown key 'format.indent'; known: width"),
        ("x = 1\nversion = '>= 1, < 2'", "idlc.toml:2: idlc >= 1, < 2 is required, but this is idlc"),
        ("version = 'new'", "idlc.toml:1: version: must be a version or a range such as '>=0.1,<0.2', got 'new'"),
        ("[format]\nwidth = 'wide'", "idlc.toml:2: format.width: expected 'int', got 'str'"),
        ("[format]\nwidth = 4", "idlc.toml:2: format.width: expected 'int' >= 20"),
        ("roots = 'idl'", "idlc.toml:1: roots: expected 'array', got 'str'"),
        ("\n[[targets]]\nname = 'python'", "idlc.toml:2: targets[0]: missing key 'output'"),
        (
            "[[targets]]\noutput = 'a'\n[[targets]]\noutput = 'a'",
            "targets 'python:a' and 'python:a' have the same output",
        ),
    ],
)
def test_errors_name_the_line_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "idlc.toml"))


def test_lines_in_a_pyproject_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pyproject\.toml:5: unknown key 'format\.wdith'; did you mean 'width'\?"):
        read(tmp_path, "[project]\nwdith = 1\n[tool.idlc]\n[tool.idlc.format]\nwdith = 80\n", "pyproject.toml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read '.*missing\.toml': no such file or directory"):
        read_config(tmp_path / "missing.toml")
    (tmp_path / "idlc.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"cannot read '.*idlc\.toml': not UTF-8"):
        read_config(tmp_path / "idlc.toml")


def test_the_version_is_that_of_this_compiler(tmp_path: Path) -> None:
    assert read(tmp_path, f'version = "{idlc.__version__}"').version == idlc.__version__
