import pytest

from tinyfarm.cli.front import print_front
from tinyfarm.v1 import exploration_pb2


def test_network_that_was_not_measured_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    lost = exploration_pb2.FrontPoint(name="net-1", not_measured="the board was lost")
    large = exploration_pb2.FrontPoint(name="net-2")
    print_front("a front", [lost, large], [], winner="")
    told = capsys.readouterr().out
    assert "net-1 was not measured: the board was lost" in told
    assert "not measured" in next(line for line in told.splitlines() if "net-1" in line)
    assert "does not fit" in next(line for line in told.splitlines() if "net-2" in line)
