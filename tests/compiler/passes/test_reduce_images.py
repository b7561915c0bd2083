from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.compiler.ir.ops import Mean, Reshape, Sum
from services.compiler.ir.text import print_graph
from services.compiler.passes.reduce_images import reduce_images
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.passes.small_graphs import activation, graph, lines, rewritten

FLATTEN = Reshape(name="flatten", inputs=(0,), outputs=(1,))
IMAGE, RESULT = activation(1, 4, 6, 8, scale=0.1, zero_point=-7), activation(1, 8, scale=0.04, zero_point=9)
FLAT = {
    "rows of pixels": ((1, 24, 8), (1,)),
    "an image of one row": ((1, 1, 24, 8), (1, 2)),
    "the same without its unit axis": ((1, 1, 24, 8), (2,)),
    "pixels": ((24, 8), (0,)),
}


@pytest.mark.parametrize("kind", [Mean, Sum])
@pytest.mark.parametrize("flat", FLAT)
def test_mean_of_a_flattened_image_is_one_of_the_image(flat: str, kind: type[Mean] | type[Sum]) -> None:
    shape, axes = FLAT[flat]
    tensors = {0: IMAGE, 1: replace(IMAGE, shape=shape), 2: RESULT}
    before = graph(tensors, [FLATTEN, kind(name="mean", inputs=(1,), outputs=(2,), axes=axes)], (2,))
    assert rewritten(reduce_images, before) == lines(
        "inputs %0 : int8[1,4,6,8] s=0.1 z=-7",
        f"%2 = {kind.__name__}(%0) axes=(1, 2) : int8[1,8] s=0.04 z=9",
        "outputs %2",
    )
    inputs = random_inputs(before, 0)
    np.testing.assert_array_equal(run_graph(reduce_images(before), inputs)[0], run_graph(before, inputs)[0])


STAY = {
    "over some pixels": (replace(IMAGE, shape=(1, 3, 8, 8)), (1, 3, 8), (1,)),
    "over channels": (replace(IMAGE, shape=(1, 8, 24)), (1, 8), (2,)),
    "of other channels": (replace(IMAGE, shape=(1, 12, 16)), (1, 16), (1,)),
    "of another scale": (activation(1, 24, 8), (1, 8), (1,)),
    "kept as a sequence": (replace(IMAGE, shape=(1, 24, 8)), (1, 1, 8), (1,)),
}


@pytest.mark.parametrize("case", STAY)
def test_other_means_of_reshapes_stay(case: str) -> None:
    flat, result, axes = STAY[case]
    tensors = {0: IMAGE, 1: flat, 2: replace(RESULT, shape=result)}
    before = graph(tensors, [FLATTEN, Mean(name="mean", inputs=(1,), outputs=(2,), axes=axes)], (2,))
    assert rewritten(reduce_images, before) == print_graph(before)
