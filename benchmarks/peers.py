"""What other engines need for the same models: recorded figures, each with its source.

Instructions: one inference, Cortex-M4 build, counted with QEMU `-icount` and Unicorn (which agree within 40), gcc 12.2;
TFLM 90b983c, CMSIS-NN 4ab83cc3 at -O2, ONNC at -O3, TinyEngine 47bb283 at -Ofast.
Milliseconds: published MLPerf Tiny results (repositories mlcommons/tiny_results_v0.5 to v1.2), times the board's clock
gives cycles on silicon. The outputs of TinyEngine differ from TFLM's by up to 6 LSB, CMSIS-NN's by 1 after the pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """What a peer's figure counts."""

    INSTRUCTIONS = "instructions"
    SILICON_CYCLES = "cycles on silicon"


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine's figure for one model on one core."""

    engine: str
    unit: Unit
    value: float


def _counted(**engines: float) -> tuple[Peer, ...]:
    return tuple(Peer(_ENGINES[name], Unit.INSTRUCTIONS, value) for name, value in engines.items())


def _published(clock_mhz: int, **milliseconds: float) -> tuple[Peer, ...]:
    return tuple(Peer(_ENGINES[n], Unit.SILICON_CYCLES, ms * clock_mhz * 1e3) for n, ms in milliseconds.items())


_ENGINES = {
    "tflm": "TFLM + CMSIS-NN",
    "cmsis_nn": "CMSIS-NN, pads fused",
    "onnc": "ONNC + CMSIS-NN",
    "tinyengine": "TinyEngine, float requantization",
    "tinyengine_int": "TinyEngine, integer requantization",
    "x_cube_ai": "X-CUBE-AI 9.0",
    "plumerai": "Plumerai v1.1",
    "bosch": "Bosch HALE",
}

# By board, then by the model file's stem.
PEERS: dict[str, dict[str, tuple[Peer, ...]]] = {
    "nucleo-l4r5zi": {
        "kws_ref_model": _counted(tflm=7.70e6, onnc=6.81e6) + _published(120, x_cube_ai=43.2, plumerai=47.8),
        "pretrainedResnet_quant": _counted(tflm=29.87e6, onnc=25.16e6)
        + _published(120, x_cube_ai=165.1, plumerai=167.8),
        "vww_96_int8": _counted(tflm=24.10e6, onnc=14.46e6) + _published(120, x_cube_ai=88.9, plumerai=98.8),
        "ad01_int8": _counted(tflm=0.583e6, onnc=0.598e6) + _published(120, x_cube_ai=5.26, plumerai=4.05),
        "mcunet_vww1": _counted(tflm=47.94e6, cmsis_nn=47.31e6, tinyengine=34.74e6, tinyengine_int=43.35e6),
    },
    "stm32f746": {
        "kws_ref_model": _published(216, bosch=18.4),
        "pretrainedResnet_quant": _published(216, bosch=61.6),
        "vww_96_int8": _published(216, bosch=57.2),
        "ad01_int8": _published(216, bosch=1.70),
        "mcunet_vww1": _counted(cmsis_nn=46.85e6, tinyengine=34.52e6, tinyengine_int=42.69e6),
    },
    "nucleo-u575zi": {
        "kws_ref_model": _published(160, x_cube_ai=29.1, bosch=39.7),
        "pretrainedResnet_quant": _published(160, x_cube_ai=111.1, bosch=117.7),
        "vww_96_int8": _published(160, x_cube_ai=59.3, bosch=114.7),
        "ad01_int8": _published(160, x_cube_ai=3.43, bosch=3.80),
    },
    # published on a NUCLEO-G0B1RE, the same core at 64 MHz: only cycles compare
    "rp2040": {
        "kws_ref_model": _published(64, bosch=475.0),
        "pretrainedResnet_quant": _published(64, bosch=1522.0),
        "vww_96_int8": _published(64, bosch=1414.0),
        "ad01_int8": _published(64, bosch=40.9),
    },
}


# Instructions a multiply-accumulate (an output element for Add) of mcunet_vww1's layers by kind, counted as above.
KERNEL_PEERS: dict[str, dict[str, float]] = {
    "conv 1x1": {"TinyEngine float": 2.21, "TinyEngine int": 2.82, "CMSIS-NN": 2.81},
    "depthwise 3x3": {"TinyEngine float": 7.03, "TinyEngine int": 9.35, "CMSIS-NN": 7.97},
    "depthwise 5x5": {"TinyEngine float": 4.95, "TinyEngine int": 5.42, "CMSIS-NN": 8.87},
    "depthwise 7x7": {"TinyEngine float": 4.24, "TinyEngine int": 4.42, "CMSIS-NN": 7.73},
    "first conv 3x3": {"TinyEngine float": 1.98, "TinyEngine int": 2.82, "CMSIS-NN": 4.77},
    "Add": {"TinyEngine and CMSIS-NN, at least": 75},
}
