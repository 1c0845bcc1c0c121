"""The only place with sockets. It moves bytes and knows nothing of what they mean."""

from idlrt.net.address import Address
from idlrt.net.blocking import BlockingSocket, BlockingTransport
from idlrt.net.channel import Channel, Receiver
from idlrt.net.listener import Listener, file_of, listen, unlink
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
    "file_of",
    "listen",
    "unlink",
]
