"""Ports that tests pick for servers that start later are taken by no other socket meanwhile."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from free_ports import free_port, free_ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_port_is_given_twice() -> None:
    ports = [*free_ports(20), free_port(), *free_ports(20)]
    assert len(set(ports)) == 41


@pytest.mark.skipif(not RANGE.exists(), reason="the ephemeral range is read from Linux's /proc")
def test_ports_are_outside_the_ephemeral_range() -> None:
    first, last = map(int, RANGE.read_text().split())
    assert not [port for port in free_ports(20) if first <= port <= last]


def test_a_server_can_listen_there() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listening:
        assert listening.getsockname()[1] > 0


def test_there_are_not_as_many() -> None:
    with pytest.raises(RuntimeError, match="cannot find 70000 free ports"):
        free_ports(70000)
