"""Commands of `idlrt`, run in this process: starting Python for each would take most of the time."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from idlrt.cli import main

__all__ = ["run_idlrt"]

# What the environment of the tests says is nothing to the commands.
_UNSET = ("IDLRT_CONFIG", "IDLRT_REG")

_INSTALLED = (str(Path(__file__).resolve().parents[2]), sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), "<")


def run_idlrt(arguments: Sequence[str], *, code: int = 0, environment: dict[str, str] | None = None) -> Result:
    """Run a command to its end.

    Args:
        arguments: after `idlrt`.
        code: that it has to exit with.
        environment: variables, besides those that there are.
    """
    unset: dict[str, str | None] = {name: None for name in os.environ if name.startswith(_UNSET)}
    with _modules_of_its_own():
        done = CliRunner().invoke(main, list(arguments), env={**unset, **(environment or {})})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError("".join(traceback.format_exception(done.exception)))
    assert done.exit_code == code, done.stdout + done.stderr
    return done


@contextmanager
def _modules_of_its_own() -> Iterator[None]:
    """Hide generated modules from a command, and those that it generates from later tests.

    A command compiles IDL files and imports the stubs by their own names. A test before it, in the same process, may
    have imported others of these names.
    """
    hidden = {name: sys.modules.pop(name) for name in _generated_modules()}
    path = list(sys.path)
    try:
        yield
    finally:
        for name in _generated_modules():
            del sys.modules[name]
        sys.modules.update(hidden)
        sys.path[:] = path


def _generated_modules() -> list[str]:
    """The names of imported modules that belong neither to this checkout nor to an installed package."""
    return [
        name
        for name, module in list(sys.modules.items())
        if any(not each.startswith(_INSTALLED) for each in _locations(module))
    ]


def _locations(module: object) -> list[str]:
    file = getattr(module, "__file__", None)
    # A package without `__init__.py` has folders only.
    return [file] if file else list(getattr(module, "__path__", []))
