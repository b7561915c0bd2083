"""Small TFLite models with one thing special about each."""

from __future__ import annotations

from tests.compiler.tflite_builder import ModelBuilder
from tests.compiler.tflite_models import Quant, conv2d, fully_connected

NASTY = '"; rm -rf ~'


def small() -> bytes:
    """[1, 8, 8, 3] to [1, 6, 6, 4]."""
    return conv2d((1, 8, 8, 3), 4, (3, 3), seed=1)


def nan_scale() -> bytes:
    """An input scale that is not a number."""
    return conv2d((1, 8, 8, 3), 4, (3, 3), source=Quant(float("nan")))


def two_mib_of_weights() -> bytes:
    """More than the flash of a nano33ble."""
    return fully_connected((1, 2048), 1024)


def half_mib_of_activations() -> bytes:
    """More than the SRAM of a nano33ble."""
    return conv2d((1, 128, 128, 16), 16, (1, 1))


def unsupported() -> bytes:
    """An operator that nobody compiles for a microcontroller."""
    model = ModelBuilder()
    x = model.activation((1, 4), 0.1)
    y = model.activation((1, 4), 0.1)
    model.operator("COS", [x], [y], "")
    return model.build([x], [y])


def named(name: str) -> bytes:
    """A model whose tensors all have the given name."""
    model = ModelBuilder()
    x = model.activation((1, 4), 0.1, name=name)
    y = model.activation((1, 4), 1 / 256, -128, name=name + " out")
    model.operator("SOFTMAX", [x], [y], "SoftmaxOptions", Beta=1.0)
    return model.build([x], [y])
