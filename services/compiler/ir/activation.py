"""What an operator may do to its output at last."""

from __future__ import annotations

from enum import Enum


class Activation(Enum):
    """Clamp fused into an operator's output (TFLite ActivationFunctionType)."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"
    RELU_N1_TO_1 = "relu_n1_to_1"
