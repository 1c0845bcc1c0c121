"""A program that registers what it is told to, to be killed.

    python churn_owner.py URL NUMBER

Reads lines: `put SERVICE NUMBER WEIGHT` registers an instance, or changes it; `drop SERVICE NUMBER` takes it away. Says
goodbye when its input ends.
"""

from __future__ import annotations

import sys

from idlrt.core import Instance
from idlrt.registry import Registration, Registry


def main(url: str, owner: str) -> None:
    registered: dict[tuple[str, str], Registration] = {}
    with Registry.connect(url, cache=False) as registry:
        for line in sys.stdin:
            verb, service, number, *rest = line.split()
            known = registered.pop((service, number), None)
            if verb == "drop":
                assert known is not None
                known.deregister(0)
                continue
            weight = int(rest[0])
            if known is None:
                known = registry.register(
                    Instance(
                        service=service, host="127.0.0.1", port=1 + int(number), id=f"{owner}.{number}", weight=weight
                    )
                )
            else:
                known.update(weight=weight)
            registered[service, number] = known


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
