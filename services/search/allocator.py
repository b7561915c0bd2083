"""The C library's allocator, told to keep the large blocks that training gives back at every step."""

from __future__ import annotations

import ctypes
import platform

# names of malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_BLOCK = 1 << 30
_LARGEST_REST = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Let this process reuse freed memory rather than return it; a no-op where the C library is not glibc.

    By default glibc maps every block of some hundred KiB anew and unmaps it when it is freed, and the first touch of
    each page costs a fault: a sixth of the time of training small networks.
    Source: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_M_TRIM_THRESHOLD, _LARGEST_REST)
