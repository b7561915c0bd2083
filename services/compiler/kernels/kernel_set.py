"""The families of kernels that code can be generated for."""

from __future__ import annotations

from enum import Enum


class KernelSet(Enum):
    """Portable C99 for every core and the host, or assembly for one kind of core.

    Thumb-2 is that of Armv7-M and Armv8-M with the DSP extension, fast or with less code, Thumb-1 that of Armv6-M.
    """

    PORTABLE = "portable"
    THUMB2 = "thumb2"
    THUMB2_SMALL = "thumb2-small"
    THUMB1 = "thumb1"

    __hash__ = object.__hash__  # members are single objects; that of Enum is slow
