"""Generation of what the configuration of a project asks for, as a step of a build."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import idlc

__all__ = ["BuildError", "BuildOptions", "Built", "generate_for_build"]

_MOST_NAMES = 5


class BuildError(Exception):
    """The build must stop. The message says why; diagnostics have been printed to standard error."""


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the build hooks, as users write them in `pyproject.toml`.

    Attributes:
        config: configuration file, relative to the project; empty for the one that is found in its folder or above.
        check: write nothing; fail if files are out of date or orphaned.
    """

    config: str = ""
    check: bool = False

    @classmethod
    def read(cls, table: Mapping[str, Any], where: str) -> BuildOptions:
        """Return the options of a table.

        Args:
            table: keys and values.
            where: name of the table in messages.

        Raises:
            BuildError: a key is unknown, or a value has the wrong type.
        """
        known = cls.__struct_fields__
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise BuildError(f"{where}: unknown key {key!r}; {hint}")
        try:
            return msgspec.convert(dict(table), type=cls)
        except msgspec.ValidationError as error:
            what, _, key = str(error).partition(" - at `$.")
            what = what.replace("Expected", "expected").replace("`", "'")
            raise BuildError(f"{where}: {key.rstrip('`')}: {what}") from None


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """Result of `generate_for_build`.

    Attributes:
        outputs: generated files, including unchanged ones and manifests; absolute paths.
        inputs: the configuration, IDL files that were read, including included ones, templates and the baseline;
            absolute paths.
    """

    outputs: list[Path]
    inputs: list[Path]


def generate_for_build(root: Path, options: BuildOptions) -> Built:
    """Generate everything that a configuration asks for, and print diagnostics to standard error.

    Args:
        root: folder of the project.
        options: options of the build hook.

    Raises:
        BuildError: the configuration is missing or invalid, the IDL has errors, or files cannot be written or, with
            `check`, are out of date.
    """
    if root.resolve() == Path.cwd():
        root = Path()  # for short names in messages
    try:
        file = root / options.config if options.config else idlc.find_config(root)
        if file is None:
            raise BuildError(f"no idlc.toml, and no pyproject.toml with [tool.idlc], in '{root.resolve()}' or above")
        config = idlc.read_config(file)
        result = idlc.generate_project(config, only_compare=options.check)
    except (idlc.BaselineError, idlc.ConfigError, idlc.UnknownTarget) as error:
        raise BuildError(str(error)) from None
    except OSError as error:
        raise BuildError(f"cannot write '{error.filename or root}': {error.strerror or error}") from None
    if len(result.report):
        sys.stderr.write(idlc.render(result.report))
        sys.stderr.flush()
    if result.report.has_errors:
        raise BuildError("cannot generate code: the IDL has errors")
    if options.check and not result.is_up_to_date:
        raise BuildError(_stale(result))
    outputs = [path.resolve() for each in result.folders for path in (*each.written, *each.unchanged)]
    inputs = [file, *result.inputs, *_other_inputs(config)]
    return Built(outputs=outputs, inputs=[path.resolve() for path in inputs])


def _other_inputs(config: idlc.Config) -> list[Path]:
    found = [] if config.baseline_file is None else [config.baseline_file]
    for target in config.targets:
        if target.templates:
            found += sorted(path for path in config.path(target.templates).rglob("*") if path.is_file())
    return found


def _stale(result: idlc.ProjectResult) -> str:
    paths = [path for each in result.folders for path in (*each.written, *each.orphaned)]
    names = ", ".join(f"'{path}'" for path in sorted(paths)[:_MOST_NAMES])
    more = f" and {len(paths) - _MOST_NAMES} more" if len(paths) > _MOST_NAMES else ""
    return f"generated files are out of date or orphaned: {names}{more}; run `idlc generate --clean`"
