"""The families of kernels that code can be generated for."""

from __future__ import annotations

from enum import Enum


class KernelSet(Enum):
    """Portable C99 for every core and the host, or assembly for cores with the Thumb-2 DSP extension."""

    PORTABLE = "portable"
    THUMB2 = "thumb2"
