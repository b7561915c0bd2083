"""Random changes of training images: an affine map and a smooth warp an image, sampled at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

WARP_KNOTS = 5


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Largest change on either side: degrees, shares of the image size, and whether images may be mirrored.

    `warp` is the standard deviation of what a 5 x 5 mesh of knots over the image is moved by, as a share of its size.
    """

    rotation_degrees: float = 12.0
    shift: float = 0.08
    scale: float = 0.12
    shear: float = 0.15
    warp: float = 0.03
    mirror: bool = False


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Return every image [N, C, H, W] under an affine map and a warp of its own; new borders are 0.

    Source of the warp: elastic deformations (Simard, Steinkraus and Platt, ICDAR 2003), here interpolated from a mesh.
    """
    n = len(images)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle = uniform(math.radians(augmentation.rotation_degrees))
    scale_x, scale_y = 1 + uniform(augmentation.scale), 1 + uniform(augmentation.scale)
    shear = uniform(augmentation.shear)
    sign = 1 - 2 * (torch.rand(n, generator=generator) < 0.5).float() if augmentation.mirror else torch.ones(n)
    cos, sin = angle.cos(), angle.sin()
    # affine_grid counts in half images, so a shift of a share s is 2 s.
    rows = (
        torch.stack((cos * scale_x * sign, -sin + shear, 2 * uniform(augmentation.shift)), 1),
        torch.stack((sin * sign, cos * scale_y, 2 * uniform(augmentation.shift)), 1),
    )
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    mesh = 2 * augmentation.warp * torch.randn(n, 2, WARP_KNOTS, WARP_KNOTS, generator=generator)
    warp = functional.interpolate(mesh, images.shape[2:], mode="bicubic", align_corners=True)
    return functional.grid_sample(images, grid + warp.permute(0, 2, 3, 1), align_corners=False)
