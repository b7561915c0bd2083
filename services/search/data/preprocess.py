"""The fixed way from pixels to a network's input, the same in training, calibration and evaluation.

uint8 [N, H, W, C] -> float32 = pixel / 255, then, where the size differs, bilinear resize with antialiasing to
resolution x resolution. Torch computes in [N, C, H, W]; exported networks read [N, H, W, C]. Nothing else: no mean is
subtracted (the first batch normalization takes that up), so that int8 inputs are pixel - 128 at scale 1/255.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional


def to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Return uint8 [N, H, W, C] as float32 [N, C, H, W] in 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255


def resize(images: Tensor, resolution: int) -> Tensor:
    """Return images [N, C, H, W] at resolution x resolution."""
    if images.shape[2:] == (resolution, resolution):
        return images
    return functional.interpolate(images, (resolution, resolution), mode="bilinear", antialias=True)


def network_input(pixels: npt.NDArray[np.uint8], resolution: int) -> npt.NDArray[np.float32]:
    """Return pixels as the float32 [N, H, W, C] array that an exported network of the resolution reads."""
    return np.ascontiguousarray(resize(to_tensor(pixels), resolution).numpy().transpose(0, 2, 3, 1))
