"""A process that serves `echo` and registers.

    python -m benchmarks.registry_provider FOLDER REGISTRY

Prints its port when clients can find it, and ends when its input does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.echo_server import Echo
from benchmarks.stubs import ours
from idlrt import Server


def main(folder: Path, registry: str) -> None:
    with Server(ours(folder).echo(Echo()), registry=registry) as server:
        server.start()
        for registration in server.registrations:
            registration.wait()
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
