"""Many services whose instances come and go all the time, and whose owners die: nothing that is alive is lost, what is
dead goes, no subscriber misses anything, and the registry does not grow. Figures are printed (`pytest -s`).

`IDLRT_CHURN_SECONDS` makes it longer than a moment.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from pathlib import Path

import pytest
from registry_process import registry_process, snapshot_of, until

from idlrt.core import Instance
from idlrt.registry import Registration, Registry

SECONDS = float(os.environ.get("IDLRT_CHURN_SECONDS", "6"))
SERVICES = 1000
INSTANCES = 20
OWNERS = 8
SESSION = 2.0


class Owner:
    """A program that has registered instances of many services."""

    def __init__(self, url: str, number: int) -> None:
        self.number = number
        self.registry = Registry.connect(f"{url}?timeout={SESSION}", cache=False)
        self.registered: dict[tuple[int, int], Registration] = {}

    def register(self, service: int, number: int) -> None:
        instance = Instance(
            service=f"s{service}", host="127.0.0.1", port=1 + self.number * 1000 + number, weight=1 + number % 7
        )
        self.registered[service, number] = self.registry.register(instance)

    def die(self) -> None:
        """As a program does that is killed: no goodbye."""
        assert self.registry._engine is not None
        thread = self.registry._thread
        assert thread is not None

        async def stop() -> None:
            engine = self.registry._engine
            assert engine is not None
            for task in [*engine._tasks, *engine._entries.values(), *engine._feeds.values()]:
                task.cancel()
            made = engine.backend._made  # type: ignore[attr-defined]
            engine.backend._made = None  # type: ignore[attr-defined]
            if made is not None:
                await made.close()

        thread.run(stop()).result(20)
        self.registered.clear()


def resident(pid: int) -> int:
    """Kilobytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.slow
@pytest.mark.timeout(int(SECONDS) + 120)
def test_nothing_is_lost_and_nothing_stays(tmp_path: Path) -> None:
    dice = random.Random(5)
    with (
        registry_process(tmp_path / "registry.db") as process,
        Registry.connect(process.url, cache=False, empty_protection=False) as observer,
    ):
        subscriptions = [observer.subscribe(f"s{service}") for service in range(SERVICES)]
        owners = [Owner(process.url, number) for number in range(OWNERS)]
        for service in range(SERVICES):
            for number in range(INSTANCES):
                owners[number % OWNERS].register(service, number)

        def expected() -> list[list[str]]:
            ids: list[list[str]] = [[] for _ in range(SERVICES)]
            for owner in owners:
                for (service, _), registration in owner.registered.items():
                    ids[service].append(registration.instance.id)
            return [sorted(each) for each in ids]

        wanted: list[list[str]] = []

        def agree() -> bool:
            return all(
                [each.id for each in snapshot_of(subscription).instances] == ids
                for subscription, ids in zip(subscriptions, wanted, strict=True)
            )

        wanted = expected()
        took = until(agree, "all are known", 60)
        print(f"\n{SERVICES * INSTANCES} instances of {SERVICES} services are known after {took:.1f} s")
        assert process._process is not None
        sizes, changes, deaths = list[int](), 0, 0
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            owner = dice.choice(owners)
            for _ in range(50):
                changes += 1
                key = dice.randrange(SERVICES), dice.randrange(INSTANCES)
                known = owner.registered.pop(key, None)
                if known is None:
                    owner.register(*key)
                elif dice.random() < 0.5:
                    known.update(weight=dice.randrange(1, 100))
                    owner.registered[key] = known
                else:
                    known.deregister(0)
            if dice.random() < 0.01 * len(owners) / OWNERS and deaths < OWNERS // 2:
                deaths += 1
                owner.die()
                owners.remove(owner)
                owners.append(Owner(process.url, OWNERS + deaths))
            sizes.append(resident(process._process.pid))
            time.sleep(0.01)
        victim = owners.pop(0)
        victim.die()
        wanted = expected()
        took = until(agree, "all that is alive is known, and nothing else", 60)
        print(
            f"{changes} changes, {deaths + 1} deaths; all agree {took:.1f} s after the last (sessions are {SESSION} s)"
        )
        weights = {
            registration.instance.id: registration.instance.weight
            for owner in owners
            for (of, _), registration in owner.registered.items()
            if of == 0
        }
        until(
            lambda: {each.id: each.weight for each in snapshot_of(subscriptions[0]).instances} == weights,
            "also what was changed",
        )
        third = max(len(sizes) // 3, 1)
        means = [round(statistics.mean(sizes[at : at + third])) for at in (0, third, len(sizes) - third)]
        print(f"kilobytes of the registry, mean of each third: {means}")
        assert means[-1] < means[0] * 1.5 + 20_000
        for owner in owners:
            owner.registry.close()
        wanted = [[] for _ in range(SERVICES)]
        until(agree, "all are gone", 60)
