"""`idlc --target openapi`: the document of a server with the same services."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from compiled_idl import LIBRARY, importable, written

from idlc.cli import main
from idlrt.openapi import openapi_json


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["compile", "--target", "openapi", "--no-cache", *map(str, arguments)])


def compiled(output: Path, *arguments: object) -> bytes:
    result = run("-o", output, *arguments)
    assert result.exit_code == 0, result.output
    assert [path.name for path in output.iterdir()] == ["openapi.json"]
    return (output / "openapi.json").read_bytes()


@pytest.mark.parametrize("package", ["", "some.where"])
def test_it_is_the_document_of_a_server(tmp_path: Path, package: str) -> None:
    made = compiled(tmp_path / "out", LIBRARY, *(("--package", package) if package else ()))
    with importable(LIBRARY, output=tmp_path / "gen"):
        client: Any = importlib.import_module("library").LibraryClient
        assert made == openapi_json([client.__thrift_service__])


def test_it_is_the_same_each_time_and_can_be_checked(tmp_path: Path) -> None:
    first = compiled(tmp_path / "first", LIBRARY)
    assert compiled(tmp_path / "second", LIBRARY) == first
    assert run("-o", tmp_path / "first", "--check", LIBRARY).exit_code == 0
    (tmp_path / "first" / "openapi.json").write_bytes(first + b" ")
    assert run("-o", tmp_path / "first", "--check", LIBRARY).exit_code == 1


def test_it_does_not_depend_on_the_hashes_of_strings(tmp_path: Path) -> None:
    letters = ", ".join(f'"{letter}"' for letter in "abcdefgh")
    [path] = written(tmp_path, {"a.idl": f"struct A {{ 1: set<string> x = [{letters}] }}\nservice S {{ A f(1: A a) }}"})
    texts = set()
    for seed in ("1", "2", "3"):
        command = [sys.executable, "-m", "idlc", "compile", "--target", "openapi", "--no-cache", "-o", "out", str(path)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        texts.add((tmp_path / "out" / "openapi.json").read_bytes())
    assert len(texts) == 1
    assert b'"a",' in texts.pop()


def test_it_has_the_services_of_the_requested_files(tmp_path: Path) -> None:
    base = "namespace py parts.base\nstruct User { 1: i32 x }\nservice Base { void ping() }"
    own = (
        'include "base.idl"\nnamespace py parts.own\nstruct User { 1: i32 y }\n'
        "service B extends base.Base { base.User b(), User c() }\nservice A {}"
    )
    paths = written(tmp_path, {"base.idl": base, "own.idl": own})
    made = json.loads(compiled(tmp_path / "own", paths[1], "--no-includes"))
    assert [tag["name"] for tag in made["tags"]] == ["B", "A"]
    assert [*made["paths"]] == ["/B/ping", "/B/b", "/B/c"]
    assert {*made["components"]["schemas"]} == {"Problem", "parts.base.User", "parts.own.User"}
    both = json.loads(compiled(tmp_path / "both", *paths))
    assert [tag["name"] for tag in both["tags"]] == ["Base", "B", "A"]


def test_nothing_is_left_of_the_stubs(tmp_path: Path) -> None:
    path = [*sys.path]
    before = {*sys.modules}
    compiled(tmp_path / "out", LIBRARY)
    assert sys.path == path
    assert [name for name in {*sys.modules} - before if name.startswith("idlrt_openapi_")] == []


def test_files_without_services_have_an_empty_document(tmp_path: Path) -> None:
    [path] = written(tmp_path, {"a.idl": "struct A { 1: i32 x }"})
    assert json.loads(compiled(tmp_path / "out", path))["paths"] == {}


def test_routes_in_conflict_are_an_error(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        {
            "a.idl": 'namespace py conflict.a\nservice A { void f(1: string x) (http.get = "/a/{x}") }',
            "b.idl": 'namespace py conflict.b\nservice B { void g(1: string y) (http.get = "/a/{y}") }',
        },
    )
    result = run("-o", tmp_path / "out", *paths)
    assert result.exit_code == 1
    assert "match the same requests" in result.output
    assert not (tmp_path / "out" / "openapi.json").exists()
