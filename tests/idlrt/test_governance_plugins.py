"""A stranger's package with one balancer, one router, one fault mode and one guard: one file and one entry point each.
They pass the suites that ours pass, and a client uses them by name, from a configuration file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

# More than a moment.
pytestmark = pytest.mark.slow

FILES = {
    "pyproject.toml": """
[project]
name = "stranger"
version = "1.0"

[project.entry-points."idlrt.balancers"]
heaviest = "stranger.heaviest:Heaviest"

[project.entry-points."idlrt.routers"]
colour = "stranger.colour:ColourRouter"

[project.entry-points."idlrt.fault_modes"]
stubborn = "stranger.stubborn:Stubborn"

[project.entry-points."idlrt.guards"]
spacing = "stranger.spacing:Spacing"
""",
    "stranger/__init__.py": "",
    "stranger/heaviest.py": '''
"""`heaviest`: the one with the largest weight."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from idlrt.balance import Endpoint, ClockAndRandom, NoSettings
from idlrt.core import Call


class Heaviest:
    Settings = NoSettings
    covers_all = False

    def __init__(self, candidates: Sequence[Endpoint], sources: ClockAndRandom, settings: Any = None) -> None:
        self._candidates = sorted(candidates, key=lambda each: each.weight, reverse=True)

    def pick(self, call: Call, tried: Collection[Any]) -> Any:
        return next((each for each in self._candidates if each not in tried), None)
''',
    "stranger/colour.py": '''
"""`colour`: instances of one colour, if there are any."""

from __future__ import annotations

from typing import Any

from idlrt.core import Call
from idlrt.route import RouterBase, Pool, Rule, Step


class ColourRule(Rule, frozen=True, kw_only=True):
    router: str = "colour"
    colour: str = ""


class ColourRouter(RouterBase):
    Rule = ColourRule
    name = "colour"

    def _of_colour(self, pool: Pool[Any]) -> Pool[Any]:
        found = pool.narrowed(self, lambda endpoint: endpoint.instance.tags.get("colour", "") == self.rule.colour)
        return found if found.endpoints else pool

    def is_idle(self, pool: Pool[Any]) -> bool:
        return len(self._of_colour(pool)) == len(pool)

    def route(self, call: Call, pool: Pool[Any], steps: list[Step] | None) -> Pool[Any]:
        found = self._of_colour(pool)
        if len(found) == len(pool):
            found = pool
        if steps is not None:
            self._add_step(steps, f"colour {self.rule.colour}", pool, found)
        return found
''',
    "stranger/stubborn.py": '''
"""`stubborn`: retry a rejected call up to `times` times, after a pause."""

from __future__ import annotations

from typing import Any

import msgspec

from idlrt.core import Call, ClockAndRandom
from idlrt.errors import NotSent
from idlrt.fault import Dispatcher


class StubbornSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    times: int = 3
    pause: float = 0.01


class Stubborn:
    Settings = StubbornSettings

    def __init__(self, settings: StubbornSettings, sources: ClockAndRandom) -> None:
        self._settings = settings

    async def call(self, call: Call, reach: Dispatcher[Any]) -> Any:
        node = reach.pick(call, ())
        most = min(self._settings.times, call.policy.retries)
        for attempt in range(most):
            try:
                return await reach.send(node, call, attempt)
            except NotSent:
                if call.deadline.at - call.driver.now() <= self._settings.pause:
                    raise
                await call.driver.sleep(self._settings.pause)
        return await reach.send(node, call, most)

    def close(self) -> None:
        pass
''',
    "stranger/spacing.py": '''
"""`spacing`: calls that come sooner than `every` seconds after the one before are refused."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from idlrt.core import ClockAndRandom, Listener, Rejected, Seconds, tell
from idlrt.errors import Overloaded
from idlrt.guard import Next


class SpacingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    every: Seconds = 0.0


class Spacing:
    Settings = SpacingSettings

    def __init__(
        self, settings: SpacingSettings, sources: ClockAndRandom, listener: Listener = lambda decision: None
    ) -> None:
        self._every = settings.every
        self._sources = sources
        self._listener = listener
        self._last = -math.inf

    async def __call__(self, call: Any, next: Next) -> Any:
        now = self._sources.now()
        if now - self._last < self._every:
            why = f"less than {self._every:g} s after the one before"
            refused = Rejected(subject=call.method.full_name, why=why, guard="spacing")
            tell([self._listener, *getattr(call, "listeners", ())], refused)
            raise Overloaded(f"did not make {call.method.full_name}: {why}")
        self._last = now
        return await next(call)
''',
    "idlrt.toml": """
[services.UserService]
balancer = "heaviest"
fault = "stubborn"
stubborn.times = 2
methods.join.spacing.every = 3600

[[services.UserService.routes]]
router = "colour"
colour = "red"
""",
}

CHECKS = """
from idlrt.balance import BALANCERS
from idlrt.core import ClockAndRandom
from idlrt.fault import FAULT_MODES
from idlrt.guard import GUARDS
from idlrt.route import ROUTERS, CallerInfo
from idlrt.testing import check_balancer, check_fault_mode, check_guard, check_router

check_balancer(BALANCERS.get("heaviest"))
router = ROUTERS.get("colour")
check_router(lambda here, sources: router(router.Rule(colour="red"), here, sources))
mode = FAULT_MODES.get("stubborn")
check_fault_mode(lambda sources: mode(mode.Settings(), sources))
guard = GUARDS.get("spacing")
check_guard(lambda sources, listener: guard(guard.Settings(every=0.02), sources, listener))
check_guard(lambda sources, listener: guard(guard.Settings(), sources, listener))
print("all is well")
"""

CALLS = """
import asyncio, json, sys
from collections import Counter
from contextlib import ExitStack

sys.path.insert(0, sys.argv[1])
from free_ports import free_port
from hand_written import AsyncUserServiceClient, User, Users, UserServiceClient, user_service

from idlrt import Server
from idlrt.core import Attempted, Instance
from idlrt.errors import ConnectFailed, Overloaded
from idlrt.registry import Registry

class Named(Users):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def get(self, id):
        return User(id=id, name=self.name)

said = {}
with ExitStack() as stack:
    for name, weight, colour in (("light red", 10, "red"), ("heavy red", 50, "red"), ("heaviest", 100, "blue")):
        instance = {"weight": weight, "tags": {"colour": colour}}
        server = Server(user_service(Named(name)), registry="memory://here", instance=instance, grace_s=0.1, drain_s=0)
        stack.callback(server.stop)
        server.start()
    with UserServiceClient.connect("memory://here/UserService", timeout=60, heartbeat=None) as client:
        said["blocking"] = Counter(client.get(number).name for number in range(1, 50))
        client.join(["a"], ",")
        try:
            client.join(["a"], ",")
        except Overloaded as error:
            said["refused"] = str(error)

    async def main():
        async with AsyncUserServiceClient.connect("memory://here/UserService", timeout=60, heartbeat=None) as client:
            users = await asyncio.gather(*(client.get(number) for number in range(1, 50)))
            said["asyncio"] = Counter(user.name for user in users)

    asyncio.run(main())

    port = free_port()
    registry = stack.enter_context(Registry.connect("memory://there"))
    registration = registry.register(Instance(service="UserService", host="127.0.0.1", port=port))
    registration.wait()
    heard = []
    with UserServiceClient.connect("memory://there/UserService", listeners=[heard.append], timeout=60) as client:
        try:
            client.get(1)
        except ConnectFailed:
            said["attempts"] = [each.attempt for each in heard if isinstance(each, Attempted)]
    registration.deregister()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, as if it were installed."""
    folder = tmp_path_factory.mktemp("stranger")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = folder / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n", encoding="utf-8")
    lines: list[str] = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in entries.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def run(package: Path, program: str, *arguments: str, **variables: str) -> str:
    """Run a program with the package installed; return its output."""
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_file_and_one_entry_point_each(package: Path) -> None:
    entries = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
    places = [place for group in entries.values() for place in group.values()]
    modules = [f"stranger/{place.partition(':')[0].partition('.')[2]}.py" for place in places]
    assert sorted(modules) == sorted(name for name in FILES if name.endswith(".py") and "__" not in name)
    assert [len(group) for group in entries.values()] == [1] * 4


def test_a_strangers_plugins_pass_the_suites(package: Path) -> None:
    assert run(package, CHECKS) == "all is well\n"


def test_a_client_uses_them_by_name(package: Path) -> None:
    folder = str(Path(__file__).parents[1] / "harness")
    said = json.loads(run(package, CALLS, folder, IDLRT_CONFIG=str(package / "idlrt.toml")))
    assert said["blocking"] == {"heavy red": 49}, "the router leaves the red ones, the balancer the heaviest of them"
    assert said["asyncio"] == {"heavy red": 49}
    assert said["refused"] == "did not make UserService.join: less than 3600 s after the one before"
    assert said["attempts"] == [0, 1, 2], "twice more, as the file says"


def test_what_is_wrong_in_their_settings_is_told(package: Path) -> None:
    wrong = package / "wrong.toml"
    wrong.write_text('[defaults]\nstubborn.tims = 3\nfault = "stuborn"\n', encoding="utf-8")
    program = "from idlrt.config import read_config\nimport sys\ntry:\n    read_config(sys.argv[1])\n"
    program += "except ValueError as error:\n    print(error)\n"
    said = run(package, program, str(wrong))
    assert "stubborn.tims" in said
    assert "'times'" in said.partition("stubborn.tims")[2]
    assert "did you mean 'stubborn'" in said
