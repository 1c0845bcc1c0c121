"""The only place with sockets. It moves bytes and knows nothing of what they mean."""

from idlrt.net.address import Address
from idlrt.net.blocking import BlockingSocket, BlockingTransport
from idlrt.net.selector_loop import Channel, Receiver, SelectorLoop, Timer

__all__ = [
    "Address",
    "BlockingSocket",
    "BlockingTransport",
    "Channel",
    "Receiver",
    "SelectorLoop",
    "Timer",
]
