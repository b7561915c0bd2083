"""How to quantize."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.common.errors import InvalidArgumentError


class CalibrationMethod(Enum):
    """How the range of an activation is taken from what calibration saw."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"


class WeightType(Enum):
    """How the weights of convolutions and dense layers are held.

    MIXED is int4 but for the first and the last layer with weights, which hold little and lose most (Zhou et al.,
    DoReFa-Net, 2016).
    """

    INT8 = "int8"
    INT4 = "int4"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """Calibration method, the percentile it keeps, how many samples at most are run (the first ones), and weights."""

    method: CalibrationMethod = CalibrationMethod.MINMAX
    percentile: float = 99.99
    max_samples: int = 512
    weights: WeightType = WeightType.INT8

    def __post_init__(self) -> None:
        if not 50.0 < self.percentile <= 100.0:
            raise InvalidArgumentError(
                f"percentile is {self.percentile}: must be above 50 and at most 100",
                subject="percentile",
                value=self.percentile,
                allowed="above 50, at most 100",
            )
        if self.max_samples < 1:
            raise InvalidArgumentError(
                f"max_samples is {self.max_samples}: must be at least 1",
                subject="max_samples",
                value=self.max_samples,
                allowed="at least 1",
            )
