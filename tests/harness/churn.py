"""Many services whose instances come and go all the time, and whose owners are killed, at any kind of registry: nothing
that is alive is lost, what is dead goes, no subscriber misses anything, and nothing grows. Figures are printed
(`pytest -s`).

`IDLRT_CHURN_SERVICES` makes it larger (each service has 20 instances), `IDLRT_CHURN_ROUNDS` longer.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

from eventually import eventually

from idlrt.core import Change
from idlrt.registry import Registry

__all__ = ["TIMEOUT", "churn", "services"]

# Of changes. Each is over when a subscriber has seen one change of an instance that stays.
ROUNDS: Final = int(os.environ.get("IDLRT_CHURN_ROUNDS", "60"))
INSTANCES: Final = 20
OWNERS: Final = 4
# Seconds. What dies is to be gone soon; what stays is to stay, also where everything is slow.
SESSION: Final = 2
_LONG_SESSION: Final = 60
# Generous, for machines that have other things to do.
TIMEOUT: Final = 600 + 2 * ROUNDS + int(os.environ.get("IDLRT_CHURN_SERVICES", "0"))
_PATIENCE: Final = 120.0
# For each service. What goes through etcd's gateway takes two milliseconds of its processor for each instance.
_PATIENCE_FOR_EACH: Final = 0.2
_PROGRAM: Final = Path(__file__).with_name("churn_owner.py")


def services(usual: int) -> int:
    """How many services there are to be."""
    return int(os.environ.get("IDLRT_CHURN_SERVICES", usual))


def resident(pid: int | str) -> int:
    """Kilobytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class Owner:
    """A process that has registered instances of many services.

    Attributes:
        registered: the weights of its instances, by service and number.
    """

    def __init__(self, url: str, number: int) -> None:
        self.number = number
        self.registered: dict[tuple[int, int], int] = {}
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), url, str(number)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def put(self, service: int, number: int, weight: int) -> None:
        self.registered[service, number] = weight
        self._say(f"put s{service} {number} {weight}\n")

    def drop(self, service: int, number: int) -> None:
        del self.registered[service, number]
        self._say(f"drop s{service} {number}\n")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)

    def flush(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.flush()

    def kill(self) -> None:
        """As `kill -9` does: no goodbye."""
        self.registered.clear()
        self._process.kill()
        self._end()

    def leave(self) -> None:
        """Say goodbye."""
        self.registered.clear()
        self._end()

    def _end(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(_PATIENCE)


class Observer:
    """Follows all services, and checks that instances that the test does not change are always there."""

    def __init__(self, registry: Registry, count: int, steady: Owner) -> None:
        self.lost: list[str] = []
        self._seen: set[int] = set()
        self._steady = f"{steady.number}.0"
        self._subscriptions = [registry.subscribe(f"s{service}") for service in range(count)]
        for service, subscription in enumerate(self._subscriptions):
            subscription.listen(partial(self._heard, service))

    def _heard(self, service: int, change: Change) -> None:
        if change.snapshot.get(self._steady) is not None:
            self._seen.add(service)
        elif service in self._seen:
            self.lost.append(str(change.snapshot.key))

    def until(self, owners: list[Owner], what: str) -> float:
        """Wait until just what the owners have registered is known. Returns the seconds that it took, to be printed."""
        wanted: list[dict[str, int]] = [{} for _ in self._subscriptions]
        for owner in owners:
            owner.flush()
            for (service, number), weight in owner.registered.items():
                wanted[service][f"{owner.number}.{number}"] = weight
        patience = _PATIENCE + len(wanted) * _PATIENCE_FOR_EACH
        start = time.monotonic()
        wrong = [""]

        def is_right() -> bool:
            wrong[0] = self._wrong(wanted)
            return not wrong[0]

        try:
            eventually(is_right, what, timeout=patience)
        except AssertionError as error:
            raise AssertionError(f"{what}: {wrong[0]}") from error
        return time.monotonic() - start

    def until_weight(self, service: int, weight: int) -> None:
        """Wait until the instance of `service` that stays has this weight."""

        def is_known() -> bool:
            snapshot = self._subscriptions[service].snapshot
            instance = snapshot.get(self._steady) if snapshot is not None else None
            return instance is not None and instance.weight == weight

        eventually(is_known, f"weight {weight} of the steady instance of s{service}", timeout=_PATIENCE)

    def _wrong(self, wanted: list[dict[str, int]]) -> str:
        """A service that is not known as it is."""
        for subscription, there in zip(self._subscriptions, wanted, strict=True):
            snapshot = subscription.snapshot
            known = {each.id: each.weight for each in snapshot.instances} if snapshot is not None else {}
            if known != there:
                missing, left = sorted(there.items() - known.items()), sorted(known.items() - there.items())
                return f"of {subscription.key} are missing {missing}, are there still {left}"
        return ""


def churn(url: Callable[[int], str], count: int, registry_pid: int) -> None:
    """Let instances of `count` services come and go.

    Args:
        url: URL of the registry, with the timeout of its sessions.
        registry_pid: the process of the registry; 0 if its memory is its own affair.
    """
    rng = random.Random(5)
    with ExitStack() as stack:
        observing = Registry.connect(url(_LONG_SESSION), cache=False, empty_protection=False)
        stack.enter_context(observing)

        def owner(number: int, session: int) -> Owner:
            made = Owner(url(session), number)
            stack.callback(made.kill)
            return made

        steady, *mortal = [owner(number, SESSION if number else _LONG_SESSION) for number in range(OWNERS)]
        observer = Observer(observing, count, steady)
        start = time.monotonic()
        for service in range(count):
            for number in range(INSTANCES):
                (steady if number == 0 else mortal[number % len(mortal)]).put(service, number, 1 + number)
        observer.until([steady, *mortal], "all are known")
        print(f"\n{count * INSTANCES} instances of {count} services are known after {time.monotonic() - start:.1f} s")

        watched: dict[str, int | str] = {"client": "self", "server": steady.pid}
        if registry_pid:
            watched["registry"] = registry_pid
        sizes: dict[str, list[int]] = {name: [] for name in watched}
        changes, deaths = 0, 0
        for turn in range(1, ROUNDS + 1):
            some = rng.choice(mortal)
            for _ in range(20):
                changes += 1
                service, number = rng.randrange(count), rng.randrange(1, INSTANCES)
                if (service, number) in some.registered and rng.random() < 0.5:
                    some.drop(service, number)
                else:
                    some.put(service, number, rng.randrange(1, 1000))
            some.flush()
            # Unchanged instances are written again as well, so that their memory is measured under load.
            touched = rng.randrange(count)
            steady.put(touched, 0, 1000 + turn)
            steady.flush()
            observer.until_weight(touched, 1000 + turn)
            if turn > ROUNDS * (deaths + 1) / (len(mortal) + 1) and deaths < len(mortal) - 1:
                mortal.remove(some)
                some.kill()
                deaths += 1
                mortal.append(owner(OWNERS + deaths, SESSION))
            for name, pid in watched.items():
                sizes[name].append(resident(pid))
        victim = mortal.pop(0)
        victim.kill()
        took = observer.until([steady, *mortal], "all that is alive is known, and nothing else")
        print(
            f"{changes} changes, {deaths + 1} killed; all agree {took:.1f} s after the last (sessions are {SESSION} s)"
        )
        for service in range(count):
            steady.put(service, 0, 100_000 + service)
        took = observer.until([steady, *mortal], "a change of each service is heard of")
        print(f"a change of each of {count} services is known after {took:.2f} s: no watch was lost")
        assert observer.lost == [], "an instance was missing although it was registered all the time"
        for name, all_sizes in sizes.items():
            third = max(len(all_sizes) // 3, 1)
            means = [round(statistics.mean(all_sizes[at : at + third])) for at in (0, third, len(all_sizes) - third)]
            print(f"kilobytes of the {name}, mean of each third: {means}")
            assert means[-1] < means[0] * 1.3 + 20_000, name
        for each in [steady, *mortal]:
            each.leave()
        observer.until([], "all are gone")
