from __future__ import annotations

import grpc
import pytest

from services.common import errors
from services.common.clients import error_from_proto
from services.common.convert import error_to_proto
from tinyfarm.v1 import error_pb2

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.FarmError) and kind is not errors.FarmError
]


def test_codes_are_those_of_grpc_and_of_the_contract() -> None:
    grpc_codes = {code.name: code.value[0] for code in grpc.StatusCode}
    for code in errors.ErrorCode:
        assert grpc_codes[code.name] == code.value
        assert error_pb2.ErrorCode.Value(f"ERROR_CODE_{code.name}") == code.value


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_error_survives_record_and_message(kind: type[errors.FarmError]) -> None:
    error = kind("board 'x' is unknown", subject="board", value="x", allowed="a, b")
    for copy in (errors.error_from_dict(error.to_dict()), error_from_proto(error_to_proto(error))):
        assert copy.to_dict() == error.to_dict()
        assert type(copy) is kind


def test_unknown_code_is_an_internal_error() -> None:
    assert isinstance(errors.error_from_dict({"code": "NO_SUCH", "message": "m"}), errors.InternalError)
