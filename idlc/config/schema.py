"""Tables of the configuration.

Attributes are the keys of the file. Paths are relative to the folder of the file, with `/` on all platforms.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    from idlc.findings import Policy

__all__ = ["BreakingConfig", "Config", "FormatConfig", "TargetConfig"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class TargetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[targets]]`: what is generated, and where.

    Attributes:
        output: output folder.
        name: target: `python`, `openapi`, or a plugin.
        package: dotted name of the package that all output is placed in.
        templates: folder with templates that override built-in ones of the same name.
        with_includes: generate included files, too. By default only files among the inputs are generated if others
            are included from elsewhere.
        nullable_arguments: allow `None` for arguments that are neither `required` nor have a default.
    """

    output: _Text
    name: _Text = "python"
    package: str = ""
    templates: str = ""
    with_includes: bool = True
    nullable_arguments: bool = False

    @property
    def label(self) -> str:
        """Name in messages and on the command line."""
        return f"{self.name}:{self.output}"


class FormatConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[format]`: options of `idlc format`.

    Attributes:
        width: maximum number of characters of a line.
    """

    width: Annotated[int, msgspec.Meta(ge=20)] = 100


class BreakingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[breaking]`: options of `idlc breaking`.

    Attributes:
        against: what to compare with: a file, a folder, `git:REF` or a snapshot.
        categories: categories of rules that are reported: `WIRE`, `JSON`, `REST`, `SOURCE`; empty for all.
        ignore: expected changes, `RULE` or `RULE:PLACE`, both with `*` for any text.
        ignore_paths: patterns of paths whose changes are not reported.
    """

    against: str = ""
    categories: list[str] = []
    ignore: list[str] = []
    ignore_paths: list[str] = []


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configuration of a project.

    Attributes:
        version: versions of idlc that are allowed, as for a requirement: `0.1.0`, or `>=0.1,<0.2`; empty for any.
        roots: folders that includes are relative to. All IDL files below them are inputs unless `inputs` is given.
        inputs: IDL files, folders and patterns (`idl/*.thrift`).
        exclude: patterns of files that are no inputs.
        include: folders that are searched for includes after the roots; their files are no inputs.
        allow_negative_ids: keep field ids that are zero or negative.
        targets: what is generated.
        checks: severities of findings: `severity`, `paths`, `warnings_as_errors`, `max_errors`.
        baseline: file with findings that are accepted.
        format: options of `idlc format`.
        breaking: options of `idlc breaking`.
        file: file that was read; not a key.
    """

    version: str = ""
    roots: list[_Text] = []
    inputs: list[_Text] = []
    exclude: list[_Text] = []
    include: list[_Text] = []
    allow_negative_ids: bool = False
    targets: list[TargetConfig] = []
    checks: dict[str, Any] = {}
    baseline: str = ""
    format: FormatConfig = FormatConfig()
    breaking: BreakingConfig = BreakingConfig()
    file: Path = Path("idlc.toml")

    @property
    def folder(self) -> Path:
        """Folder that paths are relative to."""
        return self.file.parent

    def path(self, name: str) -> Path:
        """Return a path of the configuration, relative to the working directory."""
        return self.folder / name

    @property
    def include_dirs(self) -> tuple[Path, ...]:
        """Folders that are searched for includes, in order."""
        return tuple(self.path(name) for name in (*self.roots, *self.include))

    @property
    def baseline_file(self) -> Path | None:
        """File with findings that are accepted, or `None`."""
        return self.path(self.baseline) if self.baseline else None

    def policy(self) -> Policy:
        """Return the severities of findings."""
        from idlc.findings import Policy

        return Policy.from_dict(self.checks)

    def sources(self) -> list[Path]:
        """Return the input files, in the order of the configuration and sorted within each folder and pattern.

        Raises:
            FileNotFoundError: an input matches nothing; its name is the message.
        """
        found: dict[Path, None] = {}
        for name in self.inputs or self.roots or ["."]:
            matches = self._matches(name)
            if not matches:
                raise FileNotFoundError(name)
            found.update(dict.fromkeys(matches))
        excluded = {path for pattern in self.exclude for path in self.folder.glob(pattern)}
        return [path for path in found if not excluded & {path, *path.parents}]

    def _matches(self, name: str) -> list[Path]:
        from idlc.driver import SUFFIXES, find_sources

        path = self.path(name)
        if path.exists():
            return find_sources([path])
        if not any(each in name for each in "*?["):
            return []
        matches = sorted(match for match in self.folder.glob(name) if match.is_dir() or match.suffix in SUFFIXES)
        return find_sources(matches)
