"""Thrift protocol: messages, framings and THeader."""

from idlrt.protocol.thrift.plugin import ThriftProtocol

__all__ = ["ThriftProtocol"]
