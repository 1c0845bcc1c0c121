"""Several services on one port, told apart by `Service:method`; Apache's library and thriftpy2 as peers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import thriftpy2
from apache_users import ApacheUsers, answer, apache_server, apache_socket, call
from hand_written import (
    PROTOCOLS,
    AsyncUserServiceClient,
    User,
    Users,
    UserServiceClient,
    dialects,
    requests,
    scripted_server,
    user_service,
)
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.TTransport import TFramedTransport
from thriftpy2.protocol.binary import TBinaryProtocolFactory
from thriftpy2.protocol.multiplex import TMultiplexedProtocolFactory
from thriftpy2.thrift import TClient, TProcessor
from thriftpy2.thrift import TMultiplexedProcessor as Thriftpy2Multiplexed
from thriftpy2.transport import TSocket as Thriftpy2Socket
from thriftpy2.transport import TTransportException
from thriftpy2.transport.framed import TFramedTransportFactory

from idlrt import spec as rpc
from idlrt.client import Client
from idlrt.core import Handlers, bind, serve
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError
from idlrt.protocol.events import RequestReceived
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.dialects import dialect
from idlrt.protocol.thrift.sniff import detector
from idlrt.server import Server
from idlrt.testing import connected


class Admins(Protocol):
    def get(self, id: int) -> User: ...

    def only_here(self) -> str: ...


ADMIN_GET = rpc.method(Admins.get, rpc.required(1, "id", rpc.I64), result=rpc.struct(User))
ONLY_HERE = rpc.method(Admins.only_here, result=rpc.STRING)
ADMINS = rpc.service("AdminService", ADMIN_GET, ONLY_HERE)


class AdminServiceClient(Client):
    __thrift_service__ = ADMINS

    def get(self, id: int) -> User:
        return self._call(ADMIN_GET, id)

    def only_here(self) -> str:
        return self._call(ONLY_HERE)


class Admin:
    async def get(self, id: int) -> User:
        return User(id=id, name=f"admin {id}")

    def only_here(self) -> str:
        return "here"


def both() -> list[Handlers]:
    return [user_service(Users()), bind(ADMINS, Admin())]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(both()) as made:
        yield made.start()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("framing", ["framed", "unframed", "header", "header_zlib"])
def test_each_service_is_called_by_its_name(server: Server, framing: str, protocol: str) -> None:
    how: dict[str, Any] = {"framing": framing, "protocol": protocol}
    with (
        UserServiceClient.connect(server.address, multiplexed=True, **how) as users,
        AdminServiceClient.connect(server.address, multiplexed=True, **how) as admins,
        UserServiceClient.connect(server.address, **how) as plain,
        UserServiceClient.connect(server.address, multiplexed="AdminService", **how) as renamed,
    ):
        assert users.get(1).name == "user 1"
        assert admins.get(1).name == "admin 1"
        assert admins.only_here() == "here"
        assert plain.get(1).name == "user 1"
        assert renamed.get(1).name == "admin 1"
        users.poke(1)


def test_an_asyncio_client(server: Server) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(server.address, multiplexed="AdminService") as client:
            assert (await client.get(1)).name == "admin 1"

    asyncio.run(main())


def test_a_single_service_has_both_names() -> None:
    for multiplexed in (False, True, "UserService"):
        assert connected(UserServiceClient, user_service(Users()), multiplexed=multiplexed).get(1).name == "user 1"


def test_in_memory() -> None:
    assert connected(AdminServiceClient, both(), multiplexed=True).get(1).name == "admin 1"
    assert connected(UserServiceClient, both()).get(1).name == "user 1"


@pytest.mark.parametrize(
    ("client", "multiplexed", "said"),
    [
        (UserServiceClient, "Nobody", r"unknown service 'Nobody' \(known: AdminService, UserService\)"),
        (AdminServiceClient, False, r"unknown method 'only_here' of UserService \(known: blob, get, join, ping"),
        (AdminServiceClient, "UserService", r"unknown method 'only_here' of UserService \(known: blob, get"),
    ],
)
def test_what_is_not_served_is_refused_with_what_is(
    server: Server, client: Any, multiplexed: bool | str, said: str
) -> None:
    with client.connect(server.address, multiplexed=multiplexed) as made:
        with pytest.raises(ApplicationError, match=said) as caught:
            made.only_here() if client is AdminServiceClient else made.get(1)
        assert caught.value.code is ApplicationCode.UNKNOWN_METHOD


def test_of_many_methods_the_nearest_are_listed() -> None:
    many = rpc.Service("Many", *(rpc.Method(f"method_{number}", result=rpc.VOID) for number in range(200)))

    class Handler:
        def __getattr__(self, name: str) -> Any:
            return lambda: None

    said = serve(bind(many, Handler())).missing("metod_77")
    assert said.startswith("unknown method 'metod_77' of Many (known: method_77, ")
    assert said.endswith(" and 197 more)")
    assert len(serve(bind(many, Handler())).missing("x" * 100_000)) < 600
    assert "method_0, method_1, " in serve(bind(many, Handler())).missing("quite_another")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("UserService:get", "get"),
        ("get", "get"),
        ("AdminService:get", "get"),
        ("UserService:a:b", "a:b"),
        ("Nobody:get", "get"),
        (":", ":"),
        ("UserService:", "UserService:"),
        (":get", "get"),
    ],
)
def test_answers_have_the_plain_name(name: str, told: str) -> None:
    how = dialect()
    served = serve(both())
    end = ServerConnection(detector(), served.methods)
    (event,) = end.receive_data(how.pack(1, name, 1, b"\0"))  # type: ignore[arg-type]
    assert isinstance(event, RequestReceived)
    assert (event.method is not None) == (name in served.table)
    head, _ = how.envelope.unpack_head(end.refuse(event, ApplicationError(served.missing(name)))[4:])

    assert head.name == told


def test_the_name_goes_before_the_method() -> None:
    for how in dialects().values():
        _, plain = ClientConnection(how).request(ADMIN_GET, (1,))
        _, prefixed = ClientConnection(how, "AdminService").request(ADMIN_GET, (1,))
        assert requests((ADMIN_GET, (1,)), how=how) == plain
        assert (b"AdminService:get" in prefixed) == (how.framing.name != "header_zlib")


def test_two_services_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two services named UserService"):
        Server([user_service(Users()), user_service(Users())])


# Apache's library.


def framed(transport: Any) -> TBinaryProtocol:
    return TBinaryProtocol(TFramedTransport(transport))


def test_apaches_client(server: Server) -> None:
    raw = apache_socket(server.port)
    protocol = framed(raw)
    users, admins = (TMultiplexedProtocol(protocol, name) for name in ("UserService", "AdminService"))
    nobody = TMultiplexedProtocol(protocol, "Nobody")

    call(users, "poke", 1, 3)
    for number, each, name in ((2, users, "user 5"), (3, admins, "admin 5"), (4, protocol, "user 5")):
        call(each, "get", number, 5)
        assert answer(protocol) == ("get", number, User(id=5, name=name))
    call(nobody, "get", 5, 5)
    with pytest.raises(ApplicationError, match="known: AdminService, UserService"):
        answer(protocol)
    raw.close()


def test_apaches_server() -> None:
    processor = TMultiplexedProcessor()
    processor.registerProcessor("UserService", ApacheUsers())
    processor.registerProcessor("AdminService", ApacheUsers("admin"))
    processor.registerDefault(ApacheUsers("default"))
    with apache_server(processor, framed, 3) as address:
        with UserServiceClient.connect(address, multiplexed=True) as users:
            assert users.get(1).name == "user 1"
            with pytest.raises(ApplicationError, match="Unknown function ping"):
                users.ping()
        with AdminServiceClient.connect(address, multiplexed=True) as admins:
            assert admins.get(1).name == "admin 1"
        with UserServiceClient.connect(address) as plain:
            assert plain.get(1).name == "default 1"


# thriftpy2.

IDL = """
struct User { 1: required i64 id, 2: optional string name }
service UserService { User get(1: i64 id) }
service AdminService extends UserService { string only_here() }
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("multiplexed") / "users.thrift"
    path.write_text(IDL)
    return thriftpy2.load(str(path), module_name="multiplexed_thrift")


@pytest.mark.parametrize(("service", "name"), [("UserService", "user 5"), ("AdminService", "admin 5")])
def test_thriftpy2s_client(server: Server, theirs: Any, service: str, name: str) -> None:
    transport = TFramedTransportFactory().get_transport(Thriftpy2Socket("127.0.0.1", server.port))
    transport.open()
    protocol = TMultiplexedProtocolFactory(TBinaryProtocolFactory(), service).get_protocol(transport)
    client = TClient(getattr(theirs, service), protocol)

    assert client.get(5) == theirs.User(id=5, name=name)
    client.close()


def test_thriftpy2s_server(theirs: Any) -> None:
    class Handler:
        def __init__(self, prefix: str) -> None:
            self.prefix = prefix

        def get(self, id: int) -> Any:
            return theirs.User(id=id, name=f"{self.prefix} {id}")

        def only_here(self) -> str:
            return "here"

    processor = Thriftpy2Multiplexed()
    processor.register_processor("UserService", TProcessor(theirs.UserService, Handler("user")))
    processor.register_processor("AdminService", TProcessor(theirs.AdminService, Handler("admin")))

    def run(raw: socket.socket) -> None:
        wrapped = Thriftpy2Socket()
        wrapped.set_handle(raw)
        protocol = TBinaryProtocolFactory().get_protocol(TFramedTransportFactory().get_transport(wrapped))
        with contextlib.suppress(TTransportException):
            while True:
                processor.process(protocol, protocol)

    with scripted_server(run, run) as address:
        with UserServiceClient.connect(address, multiplexed=True) as users:
            assert users.get(1) == User(id=1, name="user 1")
        with AdminServiceClient.connect(address, multiplexed=True) as admins:
            assert admins.get(1) == User(id=1, name="admin 1")
            assert admins.only_here() == "here"
