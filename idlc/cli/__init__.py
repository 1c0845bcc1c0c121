"""Command line of the compiler.

A command is a module of this package with a `command`. It is imported when it is used, so that a command does not pay
for the imports of the others.

Exit codes of all commands: 0 success (also with warnings); 1 errors or other findings; 2 usage errors. Diagnostics go
to standard error.
"""

from __future__ import annotations

import gc
import shlex
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from idlc.files import readable
from idlc.version import __version__

__all__ = ["main"]

_COMMANDS = ("init", "compile", "generate", "format", "lint", "breaking", "snapshot", "explain", "doctor")
"""Names of the modules; a `-` in the name of a command is a `_` in that of its module."""


class _Commands(click.Group):
    """Group with `compile` as its default command, and arguments from files (`@FILE`)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = import_module(f"idlc.cli.{cmd_name.replace('-', '_')}").command
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = list(_expanded(args))
        if args and args[0] not in _COMMANDS and args[0] not in {"--help", "-h", "--version"}:
            args = ["compile", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _without_collections():
            return super().invoke(ctx)


@contextmanager
def _without_collections() -> Generator[None]:
    """Pause the collector of cycles, which takes a sixth of the time of a large compile.

    A command keeps most of what it builds until it ends: syntax trees, the model, views.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _expanded(arguments: Iterable[str]) -> Iterable[str]:
    """Replace each `@FILE` by the arguments in that file: separated by whitespace, quoted as in a shell."""
    for argument in arguments:
        if not argument.startswith("@") or argument == "@":
            yield argument
            continue
        file = argument[1:]
        try:
            yield from shlex.split(Path(file).read_text(encoding="utf-8"), comments=True)
        except OSError as error:
            raise click.UsageError(
                f"cannot read arguments from '{readable(file)}': {(error.strerror or str(error)).lower()}; "
                f"a file of that name is './{readable(argument)}'"
            ) from None
        except ValueError as error:
            raise click.UsageError(f"cannot read arguments from '{readable(file)}': {str(error).lower()}") from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="idlc")
def main() -> None:
    """Compile Thrift-compatible IDL files into small typed Python stubs.

    `idlc FILES...` is short for `idlc compile FILES...`. `@FILE` stands for the arguments in a file.

    \b
    Examples:
      idlc init shop
      idlc shop.idl -o gen
      idlc compile idl/ -o src -I idl/common --package myapp.rpc
      idlc compile idl/ -o gen --check
      idlc generate --check
      idlc format idl/ --write
      idlc breaking idl/ --against git:origin/main
      idlc lint idl/ --fix
      idlc doctor

    `idlc COMMAND --help` shows the options of a command.
    """
