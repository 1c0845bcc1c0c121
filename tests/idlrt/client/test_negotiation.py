"""Negotiation of RPC protocol and serialization: the client's first preference that the instance supports."""

from __future__ import annotations

import pytest

from idlrt.client.negotiation import ProtocolChoice, no_common_protocol, select_protocol
from idlrt.core import Instance, RpcProtocols
from idlrt.errors import ConfigurationError

BINARY, COMPACT, JSON = ("thrift", "binary"), ("thrift", "compact"), ("thrift", "json")
DUBBO, JSONRPC = ("dubbo", "hessian2"), ("jsonrpc", "json")
SERVER: RpcProtocols = {"thrift": ("binary", "compact", "json"), "jsonrpc": ("json",)}


@pytest.mark.parametrize(
    ("listed", "preferred", "selected"),
    [
        (SERVER, [BINARY, COMPACT], BINARY),
        (SERVER, [COMPACT, BINARY], COMPACT),  # the client decides
        (SERVER, [DUBBO, JSONRPC, BINARY], JSONRPC),
        (SERVER, [DUBBO, ("thrift", "native"), JSON], JSON),
        ({"thrift": ("json",)}, [BINARY, COMPACT], None),
        ({"jsonrpc": ("json",)}, [JSON], None),  # the serialization alone is not enough
        ({"dubbo": ("hessian2",)}, [BINARY, JSONRPC], None),
        (SERVER, [], None),
        # Registered by version 0.1 or by another framework.
        ({}, [COMPACT, BINARY], COMPACT),
        ({}, [DUBBO, JSON], JSON),
        ({}, [DUBBO, JSONRPC], None),
        ({}, [], None),
    ],
)
def test_the_first_preference_that_the_instance_has(
    listed: RpcProtocols, preferred: list[ProtocolChoice], selected: ProtocolChoice | None
) -> None:
    assert select_protocol(listed, preferred) == selected


def instance(listed: RpcProtocols, id: str = "users-1") -> Instance:
    return Instance(service="Users", host="10.0.0.7", port=9090, id=id, rpc_protocols=listed)


def test_the_error_names_the_instance_and_both_sets_of_protocols() -> None:
    error = no_common_protocol(instance(SERVER), [DUBBO, ("dubbo", "fastjson2"), ("motan2", "simple")])
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        "cannot call instance 'users-1' of Users at 10.0.0.7:9090: the instance supports "
        "thrift=binary,compact,json jsonrpc=json, "
        "the client dubbo=hessian2,fastjson2 motan2=simple; choose a protocol and a serialization that both support, "
        "or update the older of the two"
    )


def test_the_error_of_an_instance_that_lists_nothing() -> None:
    assert "the instance supports thrift (it lists no RPC protocols), the client dubbo=hessian2;" in str(
        no_common_protocol(instance({}), [DUBBO])
    )


def test_the_error_of_a_client_without_a_choice() -> None:
    assert "the client none of them for this call;" in str(no_common_protocol(instance(SERVER), []))


def test_the_error_does_not_repeat_a_long_list() -> None:
    names = tuple(f"{number:064d}" for number in range(16))
    assert len(str(no_common_protocol(instance(dict.fromkeys(names, names)), [DUBBO]))) < 600
