"""`idlc doctor`."""

from __future__ import annotations

import sys

import click

from idlc.files import readable

__all__ = ["command"]


@click.command("doctor", short_help="Check the installation.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of text.")
def command(is_json: bool) -> None:
    """Check the installation and suggest fixes.

    Shows versions, dependencies, extras, the codecs that the runtime uses and why, the cache folder, and all plugins
    with errors of those that cannot be loaded. Exits with 1 if there are errors.
    """
    from idlc.doctor import examine, render, to_json

    installation = examine()
    # Names of folders may contain bytes that cannot be printed.
    click.echo(to_json(installation) if is_json else "\n".join(map(readable, render(installation).split("\n"))))
    sys.exit(0 if installation.is_fine else 1)
