"""How commands print results, and tell what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any, NoReturn

import click

from idlrt.errors import ConfigurationError, RegistryError
from idlrt.printable import mask_passwords, printable

__all__ = ["Command", "Group", "echo", "end", "told"]

Command = Callable[..., Any]


class Group(click.Group):
    """A group of commands whose usage errors show no passwords and no control characters of their arguments."""

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        """Parse the arguments of the group itself."""
        with _clean_usage_errors():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Parse the arguments of a command, and run it."""
        with _clean_usage_errors():
            return super().invoke(ctx)


@contextmanager
def _clean_usage_errors() -> Generator[None]:
    try:
        yield
    except click.UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # since click 8.2; its text is our own help
            raise
        raise click.UsageError(printable(mask_passwords(error.format_message(), is_url=True)), error.ctx) from None


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text that may come from registries, servers or settings: what a terminal would act on is escaped."""
    click.echo(printable(text, keep="\n"), err=err, nl=nl)


def told(command: Command) -> Command:
    """Errors of usage, of the IDL and of addresses are for people, not tracebacks."""

    def run(*arguments: Any, **named: Any) -> Any:
        try:
            return command(*arguments, **named)
        except (ConfigurationError, RegistryError) as error:
            end(str(error), 2)

    return update_wrapper(run, command)


def end(what: str, code: int) -> NoReturn:
    """Say what is wrong, and end."""
    echo(f"idlrt: {mask_passwords(what)}", err=True)
    sys.exit(code)
