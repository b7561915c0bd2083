import pytest

from tinyfarm.client import Budgets, InvalidInputError
from tinyfarm.client.budgets import schedule_request
from tinyfarm.v1 import schedule_pb2

SCHEDULES = {
    "auto": (schedule_pb2.STAGE_KIND_UNSPECIFIED, 0, 0),
    "per-layer": (schedule_pb2.STAGE_KIND_PER_LAYER, 0, 0),
    "patch": (schedule_pb2.STAGE_KIND_PATCH, 0, 0),
    "patch:2x3": (schedule_pb2.STAGE_KIND_PATCH, 2, 3),
    "streaming": (schedule_pb2.STAGE_KIND_STREAMING, 0, 0),
}


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedule_words_become_requests(text):
    request = schedule_request(text)
    assert (request.kind, request.patch_rows, request.patch_cols) == SCHEDULES[text]


@pytest.mark.parametrize("text", ["", "Auto", "patch:", "patch:0x2", "patch:2", "patch:2x2x2", "patch:99999x1", "rows"])
def test_other_schedule_words_are_refused_with_what_is_allowed(text):
    with pytest.raises(InvalidInputError, match="per-layer") as caught:
        schedule_request(text)
    assert caught.value.value == text


@pytest.mark.parametrize(
    "limits",
    [
        {"sram_bytes": -1},
        {"sram_bytes": 1.5},
        {"sram_bytes": 10**30},
        {"flash_bytes": "64KiB"},
        {"latency_us": "100ms"},
        {"latency_us": -0.5},
        {"latency_us": float("nan")},
        {"energy_uj": float("inf")},
        {"accuracy": 1.01},
        {"accuracy": -0.01},
    ],
)
def test_impossible_budgets_are_refused(limits):
    with pytest.raises(InvalidInputError, match=next(iter(limits))):
        Budgets(**limits)


def test_absent_budget_is_absent_in_the_message_and_zero_is_not():
    message = Budgets(sram_bytes=0, accuracy=0.5).message()
    assert message.HasField("sram_bytes") and message.sram_bytes == 0
    assert not message.HasField("flash_bytes") and not message.HasField("latency_us")
    assert message.accuracy == 0.5
