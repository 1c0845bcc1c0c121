"""Finding and reading of the configuration file, with errors that name the file, the line and the key."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

import msgspec

from idlc.config.schema import BreakingConfig, Config, FormatConfig, TargetConfig
from idlc.files import readable
from idlc.findings import PolicyError
from idlc.version import __version__

__all__ = ["FILES", "ConfigError", "find_config", "read_config"]

_FILE: Final = "idlc.toml"
_PROJECT: Final = "pyproject.toml"
FILES: Final = (_FILE, _PROJECT)
"""Names of the files that are found."""
_TABLE: Final = ("tool", "idlc")
_PATH: Final = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\[(\d+)\]|\[\.\.\.\]|\.?([^.\[]+)")
_TABLES: Final = {
    (): Config,
    ("targets",): TargetConfig,
    ("format",): FormatConfig,
    ("breaking",): BreakingConfig,
}


class ConfigError(ValueError):
    """The configuration file is invalid. The message names the file, and the line and key if they are known."""


def find_config(folder: Path) -> Path | None:
    """Return the configuration file of a folder or of the nearest folder above it that has one.

    In one folder, `idlc.toml` takes precedence over `pyproject.toml`, which counts only if it has `[tool.idlc]`.

    Raises:
        ConfigError: a `pyproject.toml` cannot be read.
    """
    for each in (folder, *folder.resolve().parents):
        if (each / _FILE).is_file():
            return each / _FILE
        if (each / _PROJECT).is_file() and _own_table(each / _PROJECT, _parsed(each / _PROJECT)) is not None:
            return each / _PROJECT
    return None


def read_config(file: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: the file cannot be read, has an invalid key or value, or requires another version of idlc.
    """
    table = _own_table(file, _parsed(file))
    if table is None:
        raise ConfigError(f"{readable(file)}: no [tool.idlc]; add it, or use {_FILE}")
    text = file.read_text(encoding="utf-8")
    # The version comes first: another version may have other keys.
    _check_version(file, text, table.get("version", ""))
    _check_keys(file, text, table)
    try:
        config = msgspec.convert({**table, "file": file}, type=Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_located(file, text, str(error))) from None
    try:
        config.policy()
    except PolicyError as error:
        raise ConfigError(f"{_place(file, text, ('checks',))}: checks: {error}") from None
    for key, patterns in (("inputs", config.inputs), ("exclude", config.exclude)):
        for pattern in patterns:
            if problem := _problem(pattern, is_path=key == "inputs"):
                raise ConfigError(f"{_place(file, text, (key,))}: {key}: {problem}, got {pattern!r}")
    known: dict[tuple[str, Path], str] = {}
    for target in config.targets:
        place = (target.name, config.path(target.output).resolve())
        if place in known:
            line, names = _place(file, text, ("targets",)), f"{known[place]!r} and {target.label!r}"
            raise ConfigError(f"{line}: targets {names} have the same output folder; give them different ones")
        known[place] = target.label
    return config


def _problem(pattern: str, *, is_path: bool) -> str:
    """Return what is wrong with a pattern; empty if nothing is.

    Args:
        is_path: whether it may also be a path.
    """
    is_glob = not is_path or any(each in pattern for each in "*?[")
    path = PurePosixPath(pattern)
    if "\0" in pattern:
        return "must not have zero bytes"
    if is_glob and path.is_absolute():
        return "patterns must be relative to the folder of the configuration"
    if is_glob and path == PurePosixPath():
        return "must be a pattern"
    if any("**" in part and part != "**" for part in path.parts):
        return "`**` must be a whole name between slashes"
    return ""


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read '{readable(file)}': {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"cannot read '{readable(file)}': not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        line = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        where = f":{line[1]}:{line[2]}" if line else ""
        message = message[: line.start()] if line else message
        raise ConfigError(f"{readable(file)}{where}: {message[:1].lower()}{message[1:]}") from None


def _own_table(file: Path, table: dict[str, Any]) -> dict[str, Any] | None:
    if file.name != _PROJECT:
        return table
    found: object = table
    for key in _TABLE:
        found = _table(found).get(key)
    return None if found is None else _table(found)


def _table(value: object) -> dict[str, Any]:
    """Return a table; an empty one for a value that is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _check_version(file: Path, text: str, version: object) -> None:
    if not version or not isinstance(version, str):
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    wanted = version if version[:1] in "<>=!~" else f"=={version}"
    place = _place(file, text, ("version",))
    try:
        specifiers = SpecifierSet(wanted)
    except InvalidSpecifier:
        raise ConfigError(
            f"{place}: version: must be a version or a range such as '>=0.1,<0.2', got {version!r}"
        ) from None
    if not specifiers.contains(__version__, prereleases=True):
        raise ConfigError(
            f"{place}: idlc {version} is required, but this is idlc {__version__}; run `pip install 'idlc{wanted}'`, "
            "or change `version` and generate again"
        )


def _check_keys(file: Path, text: str, table: dict[str, Any]) -> None:
    for path, type in _TABLES.items():
        found: Any = table
        for key in path:
            found = _table(found).get(key)
        tables = cast("list[object]", found) if isinstance(found, list) else [found]
        for each in tables:
            known = [field for field in type.__struct_fields__ if field != "file"]
            for key in _table(each):
                if key not in known:
                    near = difflib.get_close_matches(key, known, n=1)
                    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                    dotted = ".".join((*path, key))
                    raise ConfigError(f"{_place(file, text, (*path, key))}: unknown key {dotted!r}; {hint}")


def _located(file: Path, text: str, message: str) -> str:
    """Return an error of msgspec with the line and the key that it is about."""
    found = _PATH.fullmatch(message)
    what, where = (found[1], found[2]) if found else (message, "")
    steps = tuple(name for _, name in _STEP.findall(where) if name)
    what = what.replace("Expected", "expected").replace("`", "'").replace("Object missing", "missing")
    what = what.replace("required field", "key")
    return f"{_place(file, text, steps)}: {where or 'configuration'}: {what}"


def _place(file: Path, text: str, steps: tuple[str, ...]) -> str:
    """Return `file:line` of a key; the file alone if its line is not found."""
    prefix = _TABLE if file.name == _PROJECT else ()
    wanted = (*prefix, *steps)
    current: tuple[str, ...] = ()
    best = 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?([^\]]+)\]\]?", line)
        if header:
            current = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            path = current
        else:
            key = re.match(r"""\s*([\w.-]+|"[^"]*"|'[^']*')\s*=""", line)
            if not key:
                continue
            path = (*current, *(part.strip("\"'") for part in re.findall(r""""[^"]*"|'[^']*'|[\w-]+""", key[1])))
        if path == wanted:
            return f"{readable(file)}:{number}"
        is_above, is_below = path == wanted[: len(path)], wanted == path[: len(wanted)]
        if header and (is_above or (is_below and not best)):
            best = number
    return f"{readable(file)}:{best}" if best else readable(file)
