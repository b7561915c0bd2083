"""Sizes, times, energies and shares as people write them; `InvalidInputError` for what is none."""

from __future__ import annotations

import re

from tinyfarm.client import InvalidInputError

_SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_TIMES_US = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
_ENERGIES_UJ = {"nj": 1e-3, "uj": 1.0, "µj": 1.0, "mj": 1e3, "j": 1e6}
_HIGHEST = 2.0**63
_QUANTITY = re.compile(r"\s*(?P<number>-?\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Zµ]*)\s*")


def parse_size(text: str) -> int:
    """Bytes of `64KiB` (1,024 each), `256kB` (1,000 each), `1MiB` or plain `65536`."""
    value = _parse("size", text, _SIZES, "64KiB, 256kB, 1MiB or a number of bytes")
    if value != int(value):
        raise _refused("size", text, "a whole number of bytes")
    return int(value)


def parse_latency_us(text: str) -> float:
    """Microseconds of `100ms`, `1.5s` or `250us`."""
    return _parse("time", text, _TIMES_US, "a number with a unit: 250us, 100ms, 1.5s")


def parse_energy_uj(text: str) -> float:
    """Microjoules of `5mJ`, `800uJ` or `1J`."""
    return _parse("energy", text, _ENERGIES_UJ, "a number with a unit: 800uJ, 5mJ, 1J")


def parse_share(text: str) -> float:
    """A share of 1 of `0.9` or `90%`."""
    number, factor = (text.strip().removesuffix("%"), 0.01) if text.strip().endswith("%") else (text, 1.0)
    try:
        value = float(number) * factor
    except ValueError:
        raise _refused("accuracy", text, "0 to 1, or 0% to 100%") from None
    if not 0 <= value <= 1:
        raise _refused("accuracy", text, "0 to 1, or 0% to 100%")
    return value


def format_size(size_bytes: int) -> str:
    """Bytes with their KiB where there are any."""
    return f"{size_bytes:,} B" if size_bytes < 1024 else f"{size_bytes:,} B ({size_bytes / 1024:.1f} KiB)"


def _parse(kind: str, text: str, units: dict[str, float] | dict[str, int], allowed: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match["unit"].lower() not in units:
        raise _refused(kind, text, allowed)
    value = float(match["number"]) * units[match["unit"].lower()]
    if not 0 < value < _HIGHEST:
        raise _refused(kind, text, "more than 0, and less than 2^63 bytes, microseconds or microjoules")
    return value


def _refused(kind: str, text: str, allowed: str) -> InvalidInputError:
    return InvalidInputError(
        f"{kind} {text!r} is not allowed: give {allowed}",
        reason="BAD_QUANTITY",
        subject=kind,
        value=text,
        allowed=allowed,
    )
