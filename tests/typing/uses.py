"""Correct uses of stubs: both type checkers must report nothing here. It is never run."""

from __future__ import annotations

from typing import assert_type

from acme.names import Color as Color_
from acme.names import Fields, Kind
from acme.services import AsyncUserServiceClient, NotFound, User, UserServiceClient, user_service
from acme.services.base import Order
from acme.shapes import ANSWER, COLORS, Choice, Color, Defaults, Keys, Path, Point, Shape, Tree
from acme.spread import Top, TopServiceClient
from acme.spread.one import Level, Low
from acme.spread.two import Mid

import idlrt
from idlrt.codegen import FrozenMap
from idlrt.testing import connected


class Users:
    """Fits `UserService` by shape."""

    def version(self) -> str:
        return "1"

    def reset(self) -> None: ...

    def get(self, id: int) -> User:
        if id < 0:
            raise NotFound(id=id)
        return User(id=id, name=None)

    def find(self, name: str, limit: int = 10, order: Order = Order.UP, of: list[int] | None = None) -> list[User]:
        return [User(id=1)]

    def group_by_a_property_of_the_users(
        self, users: dict[int, User], properties_to_group_by: set[str]
    ) -> dict[str, list[User]]:
        return {}

    def save(self, user: User) -> None: ...

    def touch(self, id: int) -> None: ...

    def exists(self, id: int) -> bool:
        return True

    def old(self, id: int) -> User:
        return self.get(id)

    def close_(self) -> None: ...

    def import_(self, from_: str, self_: str) -> None: ...


class AsyncUsers:
    """Fits `AsyncUserService` by shape."""

    async def version(self) -> str:
        return "1"

    async def reset(self) -> None: ...

    async def get(self, id: int) -> User:
        return User(id=id)

    async def find(
        self, name: str, limit: int = 10, order: Order = Order.UP, of: list[int] | None = None
    ) -> list[User]:
        return []

    async def group_by_a_property_of_the_users(
        self, users: dict[int, User], properties_to_group_by: set[str]
    ) -> dict[str, list[User]]:
        return {}

    async def save(self, user: User) -> None: ...

    async def touch(self, id: int) -> None: ...

    async def exists(self, id: int) -> bool:
        return True

    async def old(self, id: int) -> User:
        return User(id=id)

    async def close_(self) -> None: ...

    async def import_(self, from_: str, self_: str) -> None: ...


class NewerUsers(Users):
    """Handler with defaults for arguments that old callers omit, and which accepts `None`."""

    def find(
        self,
        name: str | None = None,
        limit: int | None = 10,
        order: Order | None = None,
        of: list[int] | None = None,
    ) -> list[User]:
        return []

    def exists(self, id: int = 0) -> bool:
        return id > 0


def serve() -> None:
    user_service(NewerUsers())
    instance: idlrt.InstanceOptions = {"zone": "eu-1", "weight": 50}
    settings: idlrt.ServerOptions = {"workers": 4, "instance": instance}
    idlrt.AsyncServer(user_service(AsyncUsers()), "127.0.0.1:0", **settings)
    idlrt.ProcessServer(user_service(Users()), processes=2, **settings)
    assert_type(connected(UserServiceClient, user_service(Users()), server_options=settings), UserServiceClient)
    with idlrt.Server(user_service(Users()), "127.0.0.1:0") as server:
        server.serve()
    user_service(AsyncUsers())


def call() -> None:
    with UserServiceClient.connect("tcp://127.0.0.1:9090") as users:
        assert_type(users.get(1), User)
        assert_type(users.find("ada", order=Order.DOWN, of=[1]), list[User])
        assert_type(users.exists(id=1), bool)
        assert_type(users.touch(1), None)
        assert_type(users.version(), str)
        assert_type(users.using(timeout=0.5), UserServiceClient)
        try:
            users.get(2)
        except NotFound as error:
            assert_type(error.id, int)
    options: idlrt.ConnectOptions = {"timeout": 1.5, "max_connections": 4, "policy": {"fault": "hedge"}}
    assert_type(UserServiceClient.connect("tcp://127.0.0.1:9090", **options), UserServiceClient)
    quick: idlrt.CallOptions = {"timeout": 0.5, "retries": 0}
    assert_type(users.using(**quick), UserServiceClient)
    with TopServiceClient.connect("tcp://127.0.0.1:9090") as top:
        assert_type(top.get(Level.LOW), Low)


async def call_asyncio() -> None:
    async with AsyncUserServiceClient.connect("tcp://127.0.0.1:9090") as users:
        assert_type(await users.get(1), User)
        assert_type(await users.group_by_a_property_of_the_users({}, set()), dict[str, list[User]])


def values() -> None:
    point = Point(x=1)
    assert_type(point.x, int)
    assert_type(point.y, int | None)
    path: Path = [point]
    keys = Keys(lists={(1, 2): "a"}, sets={frozenset({"a"}): {1: 2}}, maps={FrozenMap({"a": (Color.RED,)})})
    assert_type(keys.lists, dict[tuple[int, ...], str] | None)
    assert_type(idlrt.decode(Point, idlrt.encode(point)), Point)
    assert_type(Defaults().numbers, list[int])
    assert_type(Defaults(must=1, color=Color(7)).color, Color)
    assert_type(COLORS, list[Color])
    assert_type(ANSWER + 1, int)
    Tree(left=Tree(), children=[Tree()])
    Choice()
    Fields(from_=1, Color_=Color_.RED, private_=3)
    Top(mid=Mid(low=Low(x=1)))
    assert_type(Kind.None_.is_known, bool)
    path.append(point)


def matched(shape: Shape) -> str:
    match shape:
        case Shape(point=Point(x=x)):
            return str(x + 1)
        case Shape(name=str(name)):
            return name
        case _:
            return idlrt.which(shape) or "newer"
