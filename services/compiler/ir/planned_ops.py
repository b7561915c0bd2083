"""The operators that no model file has: passes put them into a graph when it is planned."""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.ir.activation import Activation
from services.compiler.ir.node import Node
from services.compiler.ir.tensor import TensorId


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSums(Node):
    """Sums of an image's channels over its pixels, [1, H, W, C] int8 to [1, 1, 1, C] int32.

    It can go through any parts of the image, the top left one first, each pixel once: the output holds the sums so far.
    The output has the input's quantization. It is the first half of a Mean, or of an AveragePool2D whose window
    is the image: passes/recompute.py puts it there.
    """

    @property
    def swept(self) -> TensorId:
        """The image."""
        return self.input


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanOfSums(Node):
    """Means of channels from their sums over so many pixels, int32 to int8: the second half of a Mean (`ImageSums`)."""

    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOfSums(Node):
    """Averages of channels from their sums over so many pixels, int32 to int8: the second half of an AveragePool2D.

    Halves are rounded away from zero, nothing is requantized.
    """

    pixels: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposeImage(Node):
    """Rows and columns of an image swapped where it lies: [1, H, W, C] to [1, W, H, C] in the same bytes.

    Nothing else may read the input. passes/by_columns.py puts it there.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRows(Node):
    """The network's input, row by row from the caller, who has it; the output is what the arena holds of it.

    Where it has integers of floats, each row is quantized as it comes.
    passes/pull_input.py puts it there.
    """


PLANNED_ONLY = (ImageSums, MeanOfSums, PoolOfSums, TransposeImage, PullRows)
"""All of them; a graph with any of them has no message (convert/operators.py)."""
