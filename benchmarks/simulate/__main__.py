"""`python -m benchmarks.simulate [SCENARIO...]`: simulate, print, check; write `results.md` if all scenarios were run.

The exit status is 1 if a check fails.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.simulate.figures import Result
from benchmarks.simulate.runs import SCENARIOS, simulate
from benchmarks.simulate.scenario import Section, Settings
from benchmarks.table import progress

RESULTS = Path(__file__).with_name("results.md")


def main(arguments: list[str]) -> int:
    """Run the named scenarios, all by default."""
    given = _parse(arguments)
    names: list[str] = given.scenario or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        print(f"no scenario named {', '.join(unknown)}; known: {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    settings = Settings(instances=given.instances, rate=given.rate, seconds=given.seconds, seed=given.seed)
    began = time.monotonic()
    results = simulate(names, settings, given.processes)
    seconds = time.monotonic() - began
    sections = [SCENARIOS[name].report(settings, results[name]) for name in names]
    text = "\n".join([_heading(settings, results, seconds), *map(str, sections)])
    print(text)
    output = given.output or (None if given.scenario else RESULTS)
    if output is not None:
        _write(output, text, sections)
    failed = [each for section in sections for each in section.checks if not each.is_ok]
    for each in failed:
        print(each, file=sys.stderr)
    return 1 if failed else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulate", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("scenario", nargs="*", help=f"scenario to run, one of {', '.join(SCENARIOS)} (all by default)")
    parser.add_argument("--instances", type=int, default=1000, help="instances of the service (1000)")
    parser.add_argument("--rate", type=float, default=100_000.0, help="calls a second (100000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="virtual duration of the longest run (60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random numbers (1)")
    parser.add_argument("--processes", type=int, default=2, help="concurrent runs (2)")
    parser.add_argument(
        "--output", type=Path, help="file for the report (results.md of this folder if all scenarios are run)"
    )
    return parser.parse_args(arguments)


def _heading(settings: Settings, results: dict[str, dict[str, Result]], seconds: float) -> str:
    runs = [each for found in results.values() for each in found.values()]
    calls, cpu = sum(each.simulated for each in runs), sum(each.cpu for each in runs)
    return (
        "# Simulations\n\n"
        f"{settings.instances} instances, {settings.rate:,.0f} calls a second, up to {settings.seconds:g} s, seed "
        f"{settings.seed}. {len(runs)} runs, {calls / 1e6:.1f} million calls in {seconds:.0f} s, "
        f"{cpu / max(calls, 1) * 1e6:.1f} µs of a processor each. {datetime.now(UTC):%Y-%m-%d}, "
        f"Python {platform.python_version()}. Times are in milliseconds. Made by `make simulate`.\n"
    )


def _write(output: Path, text: str, sections: list[Section]) -> None:
    output.write_text(text, encoding="utf-8")
    for section in sections:
        for name, picture in section.pictures.items():
            output.with_name(name).write_text(picture, encoding="utf-8")
    progress(f"written to {output}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
