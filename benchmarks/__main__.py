"""`python -m benchmarks`: measure, print, and write `results.md` if all parts were run at full size."""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from benchmarks.parts import PARTS
from benchmarks.size import FULL, QUICK
from benchmarks.table import progress

RESULTS = Path(__file__).with_name("results.md")


def _show_parts(context: click.Context, parameter: click.Parameter, is_wanted: bool) -> None:
    if not is_wanted:
        return
    width = max(map(len, PARTS))
    for part in PARTS.values():
        click.echo(f"{part.name:<{width}}  {part.description}")
    context.exit()


def _parts_help() -> str:
    width = max(map(len, PARTS))
    return "\n".join(f"  {part.name:<{width}}  {part.description}" for part in PARTS.values())


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nParts:\n{_parts_help()}",
)
@click.argument("names", metavar="[PART]...", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="Run a small version of each part, in seconds; its numbers mean little.")
@click.option("--list", is_eager=True, is_flag=True, expose_value=False, callback=_show_parts, help="List the parts.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the tables to FILE. Default: benchmarks/results.md if all parts run at full size, else none.",
)
def main(names: tuple[str, ...], quick: bool, output: Path | None) -> None:
    """Measure PARTs, all of them by default, and print their tables.

    If a part fails, the others still run; then the exit status is 1, and nothing is written.
    """
    texts = [_heading(names, is_quick=quick)]
    click.echo(texts[0])
    failed: list[str] = []
    for name in names or PARTS:
        progress(f"{name} ...")
        try:
            tables = PARTS[name].run(QUICK if quick else FULL)
        except Exception:  # noqa: BLE001  # other parts still run
            traceback.print_exc()
            progress(f"{name} failed")
            failed.append(name)
            continue
        texts.append("\n".join(map(str, tables)))
        click.echo(f"\n{texts[-1]}")
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}; nothing was written")
    if output is None and not names and not quick:
        output = RESULTS
    if output is not None:
        output.write_text("\n".join(texts), encoding="utf-8")
        progress(f"written to {output}")


def _heading(names: Sequence[str], *, is_quick: bool) -> str:
    peers = ", ".join(f"{name} {version(name)}" for name in ("idlc", "thrift", "thriftpy2", "msgspec"))
    run = f"Parts {', '.join(names)}, in one run." if names else "All of it in one run of `make bench`."
    if is_quick:
        run = "Measured with `--quick`: these numbers mean little."
    return (
        "# Benchmarks\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.system()} {platform.machine()}; "
        f"{peers}. {run}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
