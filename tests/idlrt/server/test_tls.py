"""TLS and mutual TLS, both clients: who is let in, what handlers see, certificates that change."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from by_hand import FOREVER
from eventually import TIMEOUT, eventually, eventually_async
from hand_written import (
    GET,
    AsyncUsers,
    AsyncUserServiceClient,
    User,
    Users,
    UserServiceClient,
    connect_raw,
    read_to_end,
    requests,
    user_service,
)

from idlrt import Tls, current_call
from idlrt.errors import ConfigurationError, ConnectFailed, ConnectionLost
from idlrt.net.tls_context import TlsContext
from idlrt.server import Server


class Authority:
    """An authority and the files of what it has signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = str(folder / "authority.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def sign(self, name: str, *others: str, file: str = "") -> Tls:
        """Settings for who is called `name`, and trusts this authority."""
        signed = self._ca.issue_cert(*others or (name,), common_name=name)
        path = self._folder / f"{file or name}.pem"
        fresh = path.with_suffix(".new")
        signed.private_key_and_cert_chain_pem.write_to_path(str(fresh))
        os.replace(fresh, path)
        return Tls(certificate=str(path), authorities=self.file)


class Asked(Users):
    """Says who asked."""

    def join(self, words: list[str], by: str) -> str:
        call = current_call()
        assert call is not None
        return f"{','.join(call.peer.names)} {call.peer.is_encrypted}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shop(authority: Authority) -> Tls:
    return authority.sign("shop", "127.0.0.1", "localhost")


@pytest.fixture(params=["inline", "workers"])
def server(request: pytest.FixtureRequest, shop: Tls) -> Iterator[Server]:
    """One that asks for no certificates."""
    workers = 2 if request.param == "workers" else 0
    plain = Tls(certificate=shop.certificate)
    with Server(user_service(Asked()), tls=plain, workers=workers) as made:
        yield made.start()


def trusting(authority: Authority) -> Tls:
    return Tls(authorities=authority.file)


@pytest.mark.parametrize("framing", ["framed", "header"])
def test_a_blocking_client(server: Server, authority: Authority, framing: str) -> None:
    with UserServiceClient.connect(server.address, tls=trusting(authority), framing=framing) as client:
        for number in range(1, 50):
            assert client.get(number).id == number
        assert client.blob(3_000_000) == b"x" * 3_000_000
        assert client.join(["x" * 2_000_000], "") == " True"
        # One connection was enough: tickets that the server sends are no reason to give it up.
        assert server.connections == 1


@pytest.mark.parametrize("framing", ["framed", "header"])
def test_an_asyncio_client(server: Server, authority: Authority, framing: str) -> None:
    async def main() -> None:
        async with AsyncUserServiceClient.connect(server.address, tls=trusting(authority), framing=framing) as client:
            users = await asyncio.gather(*(client.get(number) for number in range(1, 100)))
            assert [user.id for user in users] == list(range(1, 100))
            blobs = await asyncio.gather(*(client.blob(500_000) for _ in range(8)))
            assert all(blob == b"x" * 500_000 for blob in blobs)

    asyncio.run(main())


def test_many_bytes_both_ways_past_a_reader_that_stops(authority: Authority, shop: Tls) -> None:
    # Little room: reading is paused in the middle of what was decrypted.
    with Server(user_service(AsyncUsers()), tls=shop, high_water=1000, max_in_flight_per_connection=2) as server:
        server.start()
        known = authority.sign("client")

        async def main() -> None:
            async with AsyncUserServiceClient.connect(server.address, tls=known, timeout=TIMEOUT) as client:
                users = await asyncio.gather(*(client.get(number) for number in range(1, 400)))
                assert [user.id for user in users] == list(range(1, 400))

        asyncio.run(main())


def test_a_client_does_not_call_an_untrusted_server(server: Server, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    said = "cannot connect to .*certificate verification failed: unable to get local issuer certificate"
    with (
        UserServiceClient.connect(server.address, tls=trusting(other)) as client,
        pytest.raises(ConnectFailed, match=said),
    ):
        client.get(1)

    async def main() -> None:
        async with AsyncUserServiceClient.connect(server.address, tls=trusting(other)) as client:
            with pytest.raises(ConnectFailed, match=said):
                await client.get(1)

    asyncio.run(main())


def test_a_certificate_has_to_be_for_the_name(server: Server, authority: Authority) -> None:
    wrong = Tls(authorities=authority.file, server_name="other.example")
    with (
        UserServiceClient.connect(server.address, tls=wrong) as client,
        pytest.raises(ConnectFailed, match=r"not valid for 'other\.example'"),
    ):
        client.get(1)
    right = Tls(authorities=authority.file, server_name="localhost")
    with UserServiceClient.connect(server.address, tls=right) as client:
        assert client.get(1).id == 1


def test_handlers_see_the_names_in_the_client_certificate(authority: Authority, shop: Tls) -> None:
    with Server(user_service(Asked()), tls=shop) as server:
        server.start()
        till = authority.sign("till-7", "till-7.shop", "spare")
        with UserServiceClient.connect(server.address, tls=till) as client:
            assert client.join([], "") == "till-7,till-7.shop,spare True"


def test_a_client_without_a_trusted_certificate_is_rejected(
    authority: Authority, shop: Tls, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "idlrt.net")
    (tmp_path / "other").mkdir()
    foreign = Authority(tmp_path / "other").sign("stranger")
    stranger = Tls(certificate=foreign.certificate, authorities=authority.file)

    async def call_asyncio(address: str, tls: Tls) -> None:
        async with AsyncUserServiceClient.connect(address, tls=tls) as client:
            await client.get(1)

    with Server(user_service(Users()), tls=shop) as server:
        server.start()
        for tls in (trusting(authority), stranger):
            with (
                UserServiceClient.connect(server.address, tls=tls) as client,
                pytest.raises(ConnectFailed, match="rejected the TLS handshake"),
            ):
                client.get(1)
            with pytest.raises(ConnectFailed, match="rejected the TLS handshake"):
                asyncio.run(call_asyncio(server.address, tls))
    assert "peer did not return a certificate" in caplog.text


def test_a_plain_client_of_a_tls_server_and_the_other_way_round(server: Server, authority: Authority) -> None:
    with connect_raw(server.port) as raw:
        raw.settimeout(TIMEOUT)
        raw.sendall(requests((GET, (1,))))
        # An alert of TLS, then the end.
        assert read_to_end(raw)[:1] in (b"\x15", b"")
    with Server(user_service(Users())) as plain:
        plain.start()
        with (
            UserServiceClient.connect(plain.address, tls=trusting(authority)) as client,
            pytest.raises(ConnectFailed, match="cannot connect to"),
        ):
            client.get(1)


def test_a_handshake_that_does_not_end_is_cut_off(authority: Authority, shop: Tls) -> None:
    with Server(user_service(Users()), tls=Tls(certificate=shop.certificate), message_timeout=0.2) as server:
        server.start()
        with connect_raw(server.port) as raw:
            raw.sendall(b"\x16\x03")
            assert read_to_end(raw) == b""

        def is_served() -> bool:
            # On a busy machine an honest handshake may take too long as well.
            with UserServiceClient.connect(server.address, tls=trusting(authority)) as client:
                try:
                    return client.get(1).id == 1
                except (ConnectFailed, ConnectionLost):
                    return False

        eventually(is_served)


def test_old_versions_are_not_spoken(shop: Tls) -> None:
    for is_server in (True, False):
        assert TlsContext(shop, is_server=is_server).current.minimum_version is ssl.TLSVersion.TLSv1_2


def test_no_application_protocol_is_negotiated(server: Server, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as agreed,
    ):
        assert agreed.version() in ("TLSv1.2", "TLSv1.3")
        assert agreed.selected_alpn_protocol() is None


def test_certificates_are_loaded_again(authority: Authority, shop: Tls, caplog: pytest.LogCaptureFixture) -> None:
    renewed = Tls(certificate=shop.certificate, refresh_interval=0.0)

    def shown() -> str:
        context = ssl.create_default_context(cafile=authority.file)
        with (
            socket.create_connection(("127.0.0.1", made.port), TIMEOUT) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as agreed,
        ):
            found: Any = agreed.getpeercert()
            return str(dict(group[0] for group in found["subject"])["commonName"])

    with Server(user_service(Users()), tls=renewed) as made:
        made.start()
        with UserServiceClient.connect(made.address, tls=trusting(authority)) as client:
            assert client.get(1) == User(id=1, name="user 1")
            assert shown() == "shop"
            authority.sign("new shop", "127.0.0.1", file="shop")
            assert shown() == "new shop"
            # Half written: the last good one is used on.
            Path(shop.certificate).write_text("-----BEGIN CERTIFICATE-----\n")
            assert shown() == "new shop"
            assert "; keeping the previous certificates" in caplog.text
            authority.sign("newest shop", "127.0.0.1", file="shop")
            assert shown() == "newest shop"
            # A connection that is open does not notice.
            assert client.get(2).id == 2


def test_files_that_cannot_be_used_are_named(authority: Authority, shop: Tls, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot load .*missing\.pem for TLS: No such file"):
        Server(user_service(Users()), tls=Tls(certificate=str(tmp_path / "missing.pem")))
    with pytest.raises(ConfigurationError, match="TLS servers require a certificate"):
        Server(user_service(Users()), tls=trusting(authority))
    with pytest.raises(ConfigurationError, match=r"cannot load .*authority\.pem.* for TLS"):
        Server(user_service(Users()), tls=Tls(certificate=authority.file))
    with pytest.raises(ConfigurationError, match=r"cannot load .*missing\.pem.* for TLS"):
        UserServiceClient.connect("127.0.0.1:1", tls=Tls(authorities=str(tmp_path / "missing.pem")))


def test_stopping_answers_what_is_under_way(authority: Authority, shop: Tls) -> None:
    users = Users()
    with Server(
        user_service(users), tls=Tls(certificate=shop.certificate), workers=1, drain_s=0.01, grace_s=FOREVER
    ) as server:
        server.start()
        with UserServiceClient.connect(server.address, tls=trusting(authority), timeout=TIMEOUT) as client:
            results: list[int] = []

            async def main() -> None:
                call = asyncio.to_thread(lambda: results.append(client.wait(7)))
                task = asyncio.ensure_future(call)
                await asyncio.to_thread(users.entered.wait, TIMEOUT)
                stopping = asyncio.ensure_future(asyncio.to_thread(server.stop))
                await eventually_async(lambda: server.is_draining)
                users.gate.set()
                await asyncio.gather(task, stopping)

            asyncio.run(main())
            assert results == [7]
