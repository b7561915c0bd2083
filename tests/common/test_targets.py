"""Chip facts: every file is complete and consistent, and an unknown name says what is allowed."""

from __future__ import annotations

import pytest

from services.common.errors import NotFoundError
from services.common.targets import Target, all_targets, load_target, target_names
from services.common.targets.target import EnergyPerCycle

EXPECTED = {
    # name: core, clock in MHz, flash KiB, SRAM KiB
    "nano33ble": ("cortex-m4", 64, 960, 256),
    "nucleo-f446re": ("cortex-m4", 180, 512, 128),
    "nucleo-l4r5zi": ("cortex-m4", 120, 2048, 640),
    "nucleo-u575zi": ("cortex-m33", 160, 2048, 768),
    "rp2040": ("cortex-m0plus", 125, 2047.75, 264),
    "stm32f412": ("cortex-m4", 100, 1024, 256),
    "stm32f746": ("cortex-m7", 216, 1024, 320),
    "stm32h743": ("cortex-m7", 480, 2048, 512),
}


def test_targets_are_those_promised() -> None:
    assert target_names() == tuple(sorted(EXPECTED))


@pytest.mark.parametrize("name", EXPECTED)
def test_target_facts(name: str) -> None:
    target = load_target(name)
    facts = (target.core, target.clock_hz / 1e6, target.flash.size_bytes / 1024, target.sram.size_bytes / 1024)
    assert facts == EXPECTED[name]


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
def test_target_is_consistent(target: Target) -> None:
    assert target.flash.base + target.flash.size_bytes <= target.sram.base, "the stack must overflow out of all memory"
    assert target.dsp == (target.core != "cortex-m0plus")
    assert (target.fpu == "none") == (target.core == "cortex-m0plus")
    if not target.timing.validated:
        assert "not validated" in target.timing.text or target.timing.low is not None
    if target.energy is not None:
        assert len(target.energy.source) > 20
        assert 0.01 < target.energy.nj_per_cycle < 5


def test_energy_per_cycle_is_current_times_voltage() -> None:
    assert EnergyPerCycle(microamps_per_mhz=100, volts=3.3, source="a table").nj_per_cycle == pytest.approx(0.33)


@pytest.mark.parametrize("name", ["esp32", "", "../targets/rp2040", "RP2040"])
def test_unknown_target_names_the_allowed_ones(name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_target(name)
    assert caught.value.reason == "UNKNOWN_TARGET"
    assert caught.value.value == name
    assert "nucleo-l4r5zi" in caught.value.allowed
