"""`python -m benchmarks [PART...]`: measure, print, and write `results.md` if nothing was left out.

Parts are `codec`, `memory`, `compiler`, `servers`, `calls`, `connections`, `death`, `discovery`, `capacity`,
`dns`, `governance`, `picks`.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import calls, codec, compiler, connections, dns, governance, memory, registry, servers
from benchmarks.table import progress

PARTS = {
    "codec": codec.run,
    "memory": memory.run,
    "compiler": compiler.run,
    "servers": servers.run,
    "calls": calls.run,
    "connections": connections.run,
    "death": registry.run_death,
    "discovery": registry.run_discovery,
    "capacity": registry.run_capacity,
    "dns": dns.run,
    "governance": governance.run_calls,
    "picks": governance.run_picks,
}
RESULTS = Path(__file__).with_name("results.md")


def main(names: list[str]) -> int:
    """Run the parts called `names`, or all."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"no part named {', '.join(unknown)}; known: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    texts = [_heading()]
    print(texts[0])
    for name in names or list(PARTS):
        progress(f"{name} ...")
        with tempfile.TemporaryDirectory() as folder:
            texts.append(str(PARTS[name](Path(folder))))
        print(f"\n{texts[-1]}", flush=True)
    if not names:
        RESULTS.write_text("\n".join(texts), encoding="utf-8")
        progress(f"written to {RESULTS}")
    return 0


def _heading() -> str:
    peers = ", ".join(f"{name} {version(name)}" for name in ("idlc", "thrift", "thriftpy2", "msgspec"))
    return (
        "# Benchmarks\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.system()} {platform.machine()}; "
        f"{peers}. All of it in one run of `make bench`.\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
