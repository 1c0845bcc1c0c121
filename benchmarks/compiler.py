"""The compiler: a large IDL, cold, again, and the import of the generated code."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.size import FULL, Size
from benchmarks.table import Table, middle, progress, unit
from benchmarks.workers import python, run_process

__all__ = ["generate", "run"]

NOTE = """Wall-clock time of a fresh process: the best of the rounds, and the median. `cold`: no cache exists, neither
of the grammar nor of results. `again`: nothing has changed. `import`: the stubs, once Python has compiled them."""


def generate(lines: int) -> str:
    """Return an IDL of at least `lines` lines: enums, structs, exceptions and services that refer to each other."""
    rng = random.Random(5)
    text = ["/** Made for a measurement. */", "namespace py big.made", ""]
    structs = ["Base0"]
    enums = ["Kind0"]
    text += ["enum Kind0 {", "  NONE = 0,", "}", "", "struct Base0 {", "  1: required i64 id", "}", ""]
    scalars = ["bool", "i8", "i16", "i32", "i64", "double", "string", "binary"]

    def type_of(depth: int = 2) -> str:
        pick = rng.random()
        if depth and pick < 0.12:
            return f"list<{type_of(depth - 1)}>"
        if depth and pick < 0.16:
            return f"set<{rng.choice(['string', 'i32', 'i64'])}>"
        if depth and pick < 0.24:
            return f"map<{rng.choice(['string', 'i32', 'i64'])}, {type_of(depth - 1)}>"
        if pick < 0.34:
            return rng.choice(structs)
        return rng.choice(enums) if pick < 0.40 else rng.choice(scalars)

    number = 0
    while len(text) < lines:
        number += 1
        pick = rng.random()
        if pick < 0.2:
            text += [f"/** What kind {number} there is. */", f"enum Kind{number} {{"]
            text += [f"  VALUE_{value} = {value}," for value in range(1, rng.randint(3, 10))]
            enums.append(f"Kind{number}")
        elif pick < 0.85:
            text += ["/**", f" * Describes item {number}.", " * It has some fields.", " */", f"struct Item{number} {{"]
            for id in range(1, rng.randint(4, 14)):
                presence = rng.choice(["required ", "optional ", ""])
                text.append(
                    f"  {id}: {presence}{type_of()} field_{id}" + (" // as it is" if rng.random() < 0.2 else "")
                )
            structs.append(f"Item{number}")
        elif pick < 0.9:
            text += [f"exception Failure{number} {{", "  1: i32 code", "  2: string message"]
        else:
            text += [f"/** Serves {number}. */", f"service Service{number} {{"]
            for index in range(rng.randint(3, 8)):
                text += [
                    f"  /** Does {index}. */",
                    f"  {type_of()} method_{index}(1: {type_of()} a, 2: {type_of()} b),",
                ]
        text += ["}", ""]
    return "\n".join(text) + "\n"


def run(folder: Path, size: Size = FULL) -> Table:
    """Measure the compiler.

    Args:
        folder: for the IDL, the stubs and the caches.
        size: how much to measure.
    """
    text = generate(size.compiler_lines)
    source = folder / "big.thrift"
    source.write_text(text, encoding="utf-8")
    table = Table("Compiler", [f"{text.count(chr(10))} lines", "of the target", "best", "median", "target"], NOTE)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    cold, again = [], []
    for round in range(size.compiler_rounds):
        progress(f"compile, round {round + 1}")
        environment |= {"IDLC_CACHE_DIR": str(folder / f"cache{round}")}
        output = folder / f"out{round}"
        command = python("idlc", "compile", str(source), "-o", str(output))
        cold.append(_time(command, environment))
        again.append(_time(command, environment))
    progress("import")
    environment["PYTHONPATH"] = str(folder / "out0")
    command = [sys.executable, "-c", "import big.made.big"]
    _time(command, environment)
    imports = [_time(command, environment) for _ in range(size.compiler_rounds)]
    start = [_time([sys.executable, "-c", "pass"], environment) for _ in range(size.compiler_rounds)]
    _row(table, "compile, cold", cold, 3.0)
    _row(table, "compile again, unchanged", again, 0.5)
    _row(table, "import the stubs", imports, 1.0)
    table.add("(starting Python)", "", unit(min(start)), unit(middle(start)), "")
    return table


def _row(table: Table, title: str, times: Sequence[float], target: float) -> None:
    table.add(title, f"{min(times) / target:.2f}", unit(min(times)), unit(middle(times)), f"{target} s")


def _time(command: Sequence[str], environment: dict[str, str]) -> float:
    return run_process(command, environment=environment)[1]
