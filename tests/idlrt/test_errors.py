"""The tree of errors: what a caller may do is in the class."""

from __future__ import annotations

import pickle

import pytest

from idlrt import errors
from idlrt.errors import ApplicationCode, ApplicationError, RpcError


def test_every_error_is_in_the_tree():
    for name in errors.__all__:
        each = getattr(errors, name)
        if isinstance(each, type) and issubclass(each, Exception):
            assert issubclass(each, RpcError)


@pytest.mark.parametrize(
    ("base", "names"),
    [
        ("NotSent", {"NoInstance", "ConnectFailed", "Overloaded", "CircuitOpen"}),
        ("Unknown", {"ConnectionLost", "DeadlineExceeded"}),
        ("ProtocolError", {"LocalProtocolError", "RemoteProtocolError"}),
    ],
)
def test_branches(base, names):
    branch = getattr(errors, base)
    below = {
        name
        for name in errors.__all__
        if name != base and isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), branch)
    }
    assert below == names


def test_python_knows_them_by_its_own_names():
    assert issubclass(errors.DeadlineExceeded, TimeoutError)
    assert issubclass(errors.ConfigurationError, ValueError)


def test_codes_are_thrifts():
    assert {code.name.lower(): code.value for code in ApplicationCode} == {
        "unknown": 0,
        "unknown_method": 1,
        "invalid_message_type": 2,
        "wrong_method_name": 3,
        "bad_sequence_id": 4,
        "missing_result": 5,
        "internal_error": 6,
        "protocol_error": 7,
        "invalid_transform": 8,
        "invalid_protocol": 9,
        "unsupported_client_type": 10,
        # fbthrift's
        "loadshedding": 11,
        "timeout": 12,
        # gRPC's, plus 1000
        "permission_denied": 1007,
        "unauthenticated": 1016,
    }


def test_an_application_error_has_a_code_and_a_message():
    error = ApplicationError("no such thing", 1)
    assert error.code is ApplicationCode.UNKNOWN_METHOD
    assert error.message == "no such thing"
    assert str(error) == "unknown_method: no such thing"
    assert ApplicationError("x").code is ApplicationCode.UNKNOWN


def test_a_code_that_thrift_does_not_name_is_kept():
    error = ApplicationError("odd", 99)
    assert error.code == 99
    assert str(error) == "code 99: odd"


@pytest.mark.parametrize("error", [ApplicationError("a", 6), ApplicationError("b", 99), errors.NoInstance("c")])
def test_errors_are_pickled(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
