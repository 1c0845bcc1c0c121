"""Output and error reporting of commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any, NoReturn

import click

from idlrt.errors import ConfigurationError, RegistryError
from idlrt.printable import mask_passwords, printable

__all__ = ["Command", "Group", "echo", "fail", "report_errors"]

Command = Callable[..., Any]


class Group(click.Group):
    """Command group that masks passwords and escapes control characters in usage errors."""

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        """Parse the arguments of the group itself."""
        with _clean_usage_errors():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the arguments of a command and run it."""
        with _clean_usage_errors():
            return super().invoke(ctx)


@contextmanager
def _clean_usage_errors() -> Generator[None]:
    try:
        yield
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # since click 8.2; its message is the help text
            raise
        raise click.UsageError(printable(mask_passwords(error.format_message(), is_url=True)), error.ctx) from None


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print untrusted text (of registries, servers or settings) with control characters escaped."""
    click.echo(printable(text, keep="\n"), err=err, nl=nl)


def report_errors(command: Command) -> Command:
    """Decorate a command to print configuration and registry errors as one line instead of a traceback, with code 2."""

    def run(*arguments: Any, **named: Any) -> Any:
        try:
            return command(*arguments, **named)
        except (ConfigurationError, RegistryError) as error:
            fail(str(error), 2)

    return update_wrapper(run, command)


def fail(what: str, code: int) -> NoReturn:
    """Print an error message and exit."""
    echo(f"idlrt: {mask_passwords(what)}", err=True)
    sys.exit(code)
