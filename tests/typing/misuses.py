"""Wrong uses of stubs: both type checkers must report exactly the lines that end in `# wrong`. It is never run."""

from __future__ import annotations

from typing import Final, Protocol

from acme.services import AsyncUserServiceClient, Empty, NotFound, User, UserServiceClient, empty
from acme.services.base import Base, Order, base
from acme.shapes import COLORS, Choice, Color, Keys, Point, Shape
from acme.spread.two import MidService, mid_service

import idlrt
from idlrt import codegen as rpc
from idlrt.testing import connected


class WrongResult:
    def version(self) -> int:
        return 1

    def reset(self) -> None: ...


class WrongArgument:
    def get(self, level: str) -> None: ...


class Incomplete:
    def version(self) -> str:
        return "1"


class Swapped(Protocol):
    def get(self, id: int) -> User: ...


base(WrongResult())  # wrong
base(Incomplete())  # wrong
base(WrongArgument())  # wrong
mid_service(WrongArgument())  # wrong

Point(1)  # wrong
Point(z=1)  # wrong
Point()  # wrong
Point(x="1")  # wrong
Point(x=1, y="2")  # wrong
Shape(nome="circle")  # wrong
Choice(number="4")  # wrong
Keys(lists={1: "a"})  # wrong
NotFound()  # wrong
NotFound(1)  # wrong
NotFound(id="1")  # wrong
raised: str = NotFound(id=1).id  # wrong
User(id=1).nam  # wrong
Order.SIDEWAYS  # wrong
COLORS.append(1)  # wrong
COLORS = [Color.RED]  # wrong
idlrt.decode(Point, "text")  # wrong
wrong_type: User = idlrt.decode(Point, b"")  # wrong

users = UserServiceClient.connect("tcp://127.0.0.1:9090")
users.get("1")  # wrong
users.get()  # wrong
users.get(ident=1)  # wrong
users.find("ada", order=1)  # wrong
users.nothing()  # wrong
users.using(timeout="1")  # wrong
users.using(timout=1)  # wrong
UserServiceClient.connect("tcp://127.0.0.1:9090", timout=1)  # wrong
UserServiceClient.connect("tcp://127.0.0.1:9090", timeout="1")  # wrong
UserServiceClient.connect("tcp://127.0.0.1:9090", 1)  # wrong
AsyncUserServiceClient.connect("tcp://127.0.0.1:9090", calls_per_conection=1)  # wrong
UserServiceClient.connect(1)  # wrong
idlrt.Server(empty(object()), worker=1)  # wrong
idlrt.AsyncServer(empty(object()), workers="1")  # wrong
idlrt.ProcessServer(empty(object()))  # wrong
connected(UserServiceClient, empty(object()), timout=1)  # wrong
connected(UserServiceClient, empty(object()), server_options={"worker": 1})  # wrong
MISSPELLED: idlrt.ConnectOptions = {"timout": 1}  # wrong
text: str = users.get(1)  # wrong

# What a wrong template would write: the table does not fit the signature.
GET: Final = rpc.method(Swapped.get, rpc.required(1, "id", rpc.I64), result=rpc.struct(Point))  # wrong
HALF: Final = rpc.method(Base.version, result=rpc.BINARY)  # wrong
NOTHING: Final = rpc.method(MidService.get, result=rpc.VOID)  # wrong
rpc.list_of(int)  # wrong
rpc.required("1", "id", rpc.I64)  # wrong
rpc.argument("1", "id", rpc.I64)  # wrong
rpc.argument(1, "id", rpc.I64, default="1")  # wrong
rpc.argument(1, "ids", rpc.list_of(rpc.I64), default_factory=lambda: ["1"])  # wrong
rpc.service("Empty", Empty)  # wrong


class WrongClient(rpc.Client):
    GOOD: Final = rpc.method(Swapped.get, rpc.required(1, "id", rpc.I64), result=rpc.struct(User))

    def get(self, id: int) -> Point:
        return self._call(self.GOOD, id)  # wrong

    def get_text(self, id: str) -> User:
        return self._call(self.GOOD, id)  # wrong

    def get_more(self, id: int) -> User:
        return self._call(self.GOOD, id, id)  # wrong
