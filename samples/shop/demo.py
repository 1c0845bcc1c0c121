"""The whole way, step by step: compile the IDL, serve it in one process, call it from another.

`make demo` runs this. Everything it prints comes from what just happened.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = sys.executable


def step(number: int, text: str) -> None:
    print(f"\n== {number}. {text}", flush=True)


def run(*command: str) -> None:
    print("$", " ".join(part.replace(PYTHON, "python") for part in command), flush=True)
    subprocess.run(command, cwd=HERE, check=True)


def show(path: str, start: str, count: int) -> None:
    """Print `count` lines of a generated file, from the one that begins with `start`."""
    lines = (HERE / path).read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(start))
    print("\n".join(f"    {line}" for line in lines[first : first + count]))


def main() -> None:
    step(1, "compile idl/shop.idl, and idl/common.idl that it includes")
    run(PYTHON, "-m", "idlc", "idl/shop.idl", "-o", "gen", "--format", "short")

    step(2, "what became of `union Payment` and of the exception `OutOfStock`")
    show("gen/company/shop/shop.py", "class Payment", 12)
    show("gen/company/shop/shop.py", "class OutOfStock", 8)

    step(3, "serve it, in a process of its own")
    server = subprocess.Popen([PYTHON, "server.py", "127.0.0.1:0"], cwd=HERE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline().strip()
        if not line:
            raise SystemExit("the server did not start")
        print(line)

        step(4, "call it from this process, blocking and with asyncio")
        run(PYTHON, "client.py", line.rsplit(" ", 1)[1])

        step(5, "stop the server: it answers what it has, and ends")
    finally:
        server.terminate()
        code = server.wait(timeout=20)
    print(f"the server ended with exit code {code}")

    step(6, "compile again: nothing has changed, nothing is written")
    run(PYTHON, "-m", "idlc", "idl/shop.idl", "-o", "gen", "--format", "short")


if __name__ == "__main__":
    main()
