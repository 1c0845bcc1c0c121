"""Sockets, TLS and event loop: the only package with network I/O. It moves bytes and does not interpret them."""

from idlrt.net.address import Address
from idlrt.net.blocking import BlockingSocket, BlockingTransport
from idlrt.net.channel import Channel, Receiver
from idlrt.net.listener import Listener, listen, socket_inode, unlink
from idlrt.net.selector_loop import SelectorLoop, Timer
from idlrt.net.tls import Tls

__all__ = [
    "Address",
    "BlockingSocket",
    "BlockingTransport",
    "Channel",
    "Listener",
    "Receiver",
    "SelectorLoop",
    "Timer",
    "Tls",
    "listen",
    "socket_inode",
    "unlink",
]
