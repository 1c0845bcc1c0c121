"""A small DNS server on a free port of this machine, over UDP and TCP, whose records a test can change."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

__all__ = ["DnsServer", "dns_server"]

_RCODES: Final = {"servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED}


class DnsServer:
    """What it answers. Set it at any time.

    Attributes:
        port: of both UDP and TCP.
        trouble: what it does instead of answering, by name ("" for all names): `servfail`, `refused`, `silent`,
            `garbage`.
        asked: how often, by name and type.
        by_tcp: how many questions came over TCP.
    """

    def __init__(self) -> None:
        self.port = 0
        self.trouble: dict[str, str] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.by_tcp = 0
        self._records: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}

    def set(self, name: str, kind: str, *texts: str, ttl: int = 0) -> None:
        """The records of a name and type, instead of those that were there."""
        self._records[name.lower(), kind] = ttl, texts

    def forget(self, name: str) -> None:
        """Let a name not exist."""
        for key in list(self._records):
            if key[0] == name.lower():
                del self._records[key]

    def answer(self, data: bytes, limit: int) -> bytes | None:
        """The answer to a question; `None` for none."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        trouble = self.trouble.get(name) or self.trouble.get("")
        if trouble == "silent":
            return None
        if trouble == "garbage":
            return data[:2] + b"\xff\xff"
        response = dns.message.make_response(query, recursion_available=True)
        if trouble:
            response.set_rcode(_RCODES[trouble])
        elif not any(known == name for known, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            self._fill(response, question.name, name, kind)
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            response = dns.message.make_response(query, recursion_available=True)
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _fill(self, response: Any, place: Any, name: str, kind: str) -> None:
        for _ in range(8):
            ttl, texts = self._records.get((name, kind), (0, ()))
            if texts:
                response.answer.append(dns.rrset.from_text(place, ttl, "IN", kind, *texts))
                return
            ttl, texts = self._records.get((name, "CNAME"), (0, ()))
            if not texts:
                return
            response.answer.append(dns.rrset.from_text(place, ttl, "IN", "CNAME", *texts))
            name = texts[0].rstrip(".").lower()
            place = dns.name.from_text(texts[0])


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        assert isinstance(self.server, _UdpServer)
        answer = self.server.dns.answer(data, 1232)
        if answer is not None:
            sock.sendto(answer, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _TcpServer)
        with contextlib.suppress(OSError, struct.error):
            (length,) = struct.unpack("!H", self.request.recv(2))
            self.server.dns.by_tcp += 1
            answer = self.server.dns.answer(self.request.recv(length, socket.MSG_WAITALL), 65535)
            if answer is not None:
                self.request.sendall(struct.pack("!H", len(answer)) + answer)


class _UdpServer(socketserver.ThreadingUDPServer):
    def __init__(self, dns: DnsServer) -> None:
        self.dns = dns
        super().__init__(("127.0.0.1", 0), _Udp)


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, dns: DnsServer, port: int) -> None:
        self.dns = dns
        super().__init__(("127.0.0.1", port), _Tcp)


@contextlib.contextmanager
def dns_server() -> Iterator[DnsServer]:
    """One that runs."""
    server = DnsServer()
    for attempt in range(20):
        udp = _UdpServer(server)
        server.port = udp.server_address[1]
        try:
            tcp = _TcpServer(server, server.port)
            break
        except OSError:  # the port is in use
            udp.server_close()
            if attempt == 19:
                raise
    threads = []
    for each in (udp, tcp):
        threads.append(threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True))
        threads[-1].start()
    try:
        yield server
    finally:
        for each in (udp, tcp):
            each.shutdown()
            each.server_close()
        for thread in threads:
            thread.join()
