"""Servers and clients at unix sockets, with a file and without one."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import FOREVER, serving, stopping
from eventually import TIMEOUT, eventually
from hand_written import GET, AsyncUsers, AsyncUserServiceClient, User, Users, UserServiceClient, requests, user_service

import idlrt
from idlrt.errors import ConfigurationError, ConnectFailed, NotSent, RpcError
from idlrt.net import Address
from idlrt.server import Server

FRAMINGS = ("framed", "unframed", "header")


class Telling(AsyncUsers):
    """Names users after who asks for them."""

    def join(self, words: list[str], by: str) -> str:
        call = idlrt.current_call()
        assert call is not None
        return str(call.peer.address)

    async def get(self, id: int) -> User | None:
        call = idlrt.current_call()
        assert call is not None
        return User(id=id, name=str(call.peer))


@pytest.fixture
def path() -> Iterator[Path]:
    """Short enough for the system, which pytest's own folders may not be."""
    with tempfile.TemporaryDirectory(prefix="idlrt", dir="/tmp") as folder:
        yield Path(folder) / "s"


@pytest.fixture(params=["file", "abstract"])
def address(request: pytest.FixtureRequest, path: Path) -> str:
    return f"unix:{path}" if request.param == "file" else f"unix:@idlrt-{uuid.uuid4().hex}"


def stale(path: Path) -> None:
    """Leave a socket behind as a process does that was killed."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen(1)
    assert stat.S_ISSOCK(path.stat().st_mode)


# Serving.


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_blocking_client_calls(address: str, framing: str) -> None:
    with serving(Telling(), address=address) as server:
        assert server.address == address
        assert server.port == 0
        with UserServiceClient.connect(server.address, framing=framing) as client:
            for _ in range(3):
                assert client.get(1) == User(id=1, name="unix")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_asyncio_client_calls(address: str, framing: str) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(address, framing=framing) as client:
            users = await asyncio.gather(*[client.get(number) for number in range(1, 50)])
            assert users == [User(id=number, name="unix") for number in range(1, 50)]

    with serving(Telling(), address=address):
        asyncio.run(main())


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_client_at_a_port_is_told_apart(framing: str) -> None:
    with serving(Telling()) as server, UserServiceClient.connect(server.address, framing=framing) as client:
        assert client.join([]).startswith("127.0.0.1:")


def test_a_client_whose_own_socket_has_a_name_is_a_client_of_this_machine_too(address: str) -> None:
    with serving(Telling(), address=address), socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(TIMEOUT)
        raw.bind(f"\0idlrt-{uuid.uuid4().hex}")
        raw.connect(Address.parse(address).socket_path)
        raw.sendall(requests((GET, (1,))))
        assert b"unix" in raw.recv(1000)


def test_workers_and_large_messages(address: str) -> None:
    with serving(Users(), "worker", address=address), UserServiceClient.connect(address, timeout=TIMEOUT) as client:
        assert client.blob(8_000_000) == b"x" * 8_000_000
        assert client.join(["x" * 8_000_000]) == "x" * 8_000_000


def test_a_path_may_have_three_slashes_and_be_relative(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with serving(Telling(), address="unix:s") as server:
        assert server.address == "unix:s"
        with UserServiceClient.connect(f"unix://{path}") as client:
            assert client.get(1).name == "unix"
    assert not path.exists()


# The end.


def test_a_stop_answers_calls_in_flight_and_accepts_no_clients(address: str) -> None:
    users = AsyncUsers()
    answers: list[int] = []
    with serving(users, address=address) as server, UserServiceClient.connect(address, timeout=TIMEOUT) as client:
        thread = threading.Thread(target=lambda: answers.append(client.wait(1)))
        thread.start()
        assert users.entered.wait(TIMEOUT)
        with stopping(server):
            with UserServiceClient.connect(address) as other, pytest.raises(ConnectFailed):
                other.ping()
            users.release(1)
            thread.join(TIMEOUT)
    assert answers == [1]


def test_the_file_is_gone_after_a_stop(path: Path) -> None:
    with serving(Users(), address=f"unix:{path}"):
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()


def test_the_file_is_gone_after_a_stop_of_a_server_that_never_ran(path: Path) -> None:
    with Server(user_service(Users()), f"unix:{path}"):
        assert path.exists()
    assert not path.exists()


def test_a_name_without_a_file_leaves_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with serving(Users(), address=f"unix:@idlrt-{uuid.uuid4().hex}"):
        assert list(path.parent.iterdir()) == []


def test_an_address_may_be_taken_again_after_a_stop(address: str) -> None:
    for name in ("first", "second"):

        class Named(Users):
            def join(self, words: list[str], by: str, name: str = name) -> str:
                return name

        with serving(Named(), address=address), UserServiceClient.connect(address) as client:
            assert client.join([]) == name


def test_a_server_that_stops_leaves_the_file_of_its_successor_alone(path: Path) -> None:
    users = AsyncUsers()
    address = f"unix:{path}"
    with serving(users, address=address) as first, UserServiceClient.connect(address, timeout=TIMEOUT) as client:
        thread = threading.Thread(target=client.wait, args=(1,))
        thread.start()
        assert users.entered.wait(TIMEOUT)
        with stopping(first):
            # It accepts no connections any more, but has not finished yet.
            eventually(lambda: not path.exists())
            with serving(Users(), address=address):
                users.release(1)
                thread.join(TIMEOUT)
                first.stop()
                with UserServiceClient.connect(address) as other:
                    assert other.get(1).id == 1
            assert not path.exists()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_stop_under_load_leaves_no_blocking_caller_in_doubt(address: str, framing: str) -> None:
    errors: list[RpcError] = []
    connected, under_load = threading.Semaphore(0), threading.Semaphore(0)

    def call(target: str) -> None:
        with UserServiceClient.connect(target, framing=framing, timeout=TIMEOUT) as client:
            try:
                client.get(1)
                connected.release()
                while True:
                    client.get(1)
                    under_load.release()
            except RpcError as error:
                errors.append(error)

    for _ in range(4):
        with serving(Users(), address=address, drain_s=FOREVER) as server:
            threads = [threading.Thread(target=call, args=(address,)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for each in [connected] * len(threads) + [under_load] * 50:
                assert each.acquire(timeout=TIMEOUT)
            server.stop()
            for thread in threads:
                thread.join(TIMEOUT)
    # Clients that came too late know that the call was not executed.
    assert [error for error in errors if not isinstance(error, NotSent)] == []


# Addresses that are taken.


def test_a_file_that_a_process_left_behind_is_replaced(path: Path) -> None:
    stale(path)
    with serving(Telling(), address=f"unix:{path}") as server, UserServiceClient.connect(server.address) as client:
        assert client.get(1).name == "unix"


def test_an_address_in_use_is_not_taken_over(address: str) -> None:
    with serving(Telling(), address=address), UserServiceClient.connect(address) as client:
        for _ in range(3):
            second = Server(user_service(Users()), address)
            with pytest.raises(ConfigurationError, match="Address already in use") as caught:
                second.bind()
            assert f"cannot listen on {address}" in str(caught.value)
            second.stop()
        assert client.get(1).name == "unix"
        with UserServiceClient.connect(address) as other:
            assert other.get(1).name == "unix"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    else:
        path.mkdir()
    with pytest.raises(ConfigurationError, match=f"cannot listen on unix:{path}"):
        Server(user_service(Users()), f"unix:{path}").bind()
    assert path.is_dir() if kind == "folder" else path.read_text() == "precious"


def test_a_folder_that_there_is_not_is_named(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on unix:{path}/s: No such file"):
        Server(user_service(Users()), f"unix:{path}/s").bind()


@pytest.mark.parametrize("is_there", [False, True])
def test_connecting_without_a_listener_fails(path: Path, is_there: bool) -> None:
    if is_there:
        stale(path)
    with (
        UserServiceClient.connect(f"unix:{path}") as client,
        pytest.raises(ConnectFailed, match=f"cannot connect to unix:{path} for UserService.ping: .*is the server"),
    ):
        client.ping()


# Addresses that are none.

WRONG = {
    "nothing": ("unix:", "expected unix:/path"),
    "no name": ("unix:@", "expected unix:/path"),
    "a host": ("unix://host/path", "expected unix:/path"),
    "a zero byte": ("unix:/tmp/a\0b", "expected unix:/path"),
    "a zero byte in a name": ("unix:@a\0b", "expected unix:/path"),
    "too long": ("unix:/" + "x" * 103, "the path must have at most 103 bytes, got 104"),
    "too long a name": ("unix:@" + "x" * 103, "the path must have at most 103 bytes, got 104"),
    "too long in UTF-8": ("unix:/" + "\u00e4" * 52, "the path must have at most 103 bytes, got 105"),
    "no Unicode": ("unix:/tmp/\ud800", "invalid address"),
}


@pytest.mark.parametrize(
    "connect", [UserServiceClient.connect, AsyncUserServiceClient.connect, None], ids=["blocking", "asyncio", "server"]
)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_address_is_refused_and_said_why(wrong: str, connect: Any) -> None:
    text, why = WRONG[wrong]
    with pytest.raises(ConfigurationError) as caught:
        connect(text) if connect is not None else Server(user_service(Users()), text)
    assert why in str(caught.value)
    assert repr(text) in str(caught.value)


def test_the_longest_path_that_is_taken_can_be_served(path: Path) -> None:
    longest = path.with_name("s" * (103 - len(os.fsencode(path.parent)) - 1))
    with serving(Telling(), address=f"unix:{longest}") as server:
        assert len(str(longest)) == 103
        with UserServiceClient.connect(server.address) as client:
            assert client.get(1).name == "unix"
