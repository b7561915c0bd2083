"""In blocks of how many pixels a convolution goes through its matrix routine, by the scratch it has.

A block's pixels are expanded to int16, then every group of four channels is multiplied with all of them. Each block
fetches all weights from flash once, if a group stays in the cache of flash data or is copied to RAM first; else each
pair of pixels does. The costs are those of an STM32L4 (../shared/SIMULATION.md): 6 cycles for 8 bytes that miss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from services.compiler.kernels.thumb2.pack import group_bytes

# what of an STM32L4's 256 bytes of data cache a group may take; the rest is for what else is read
_CACHED_BYTES = 224
_SECTOR_BYTES = 8
_MISS_CYCLES = 6.0
# cycles beside waiting for 8 bytes of a group: to copy them, or to unpack twice as many
_COPY_CYCLES = {8: 5.5, 4: 17.0}
# the routines on the way through a block are fetched anew: some 150 sectors
_BLOCK_CYCLES = 900.0
_STEP_CYCLES, _OUTPUTS_CYCLES = 16.0, 110.0
_SLIGHT = 0.09
# convolutions that one search meets again and again
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Block:
    """Pairs of pixels expanded at a time, and whether groups of weights are copied to RAM first."""

    pairs: int
    staged: bool = False


@dataclass(frozen=True, slots=True)
class PixelBlocks:
    """A convolution as its matrix routine sees it: `runs` of `length` pixels of `depth` values, a multiple of 4.

    `windows` tells that windows may have to be assembled before they are expanded, `weight_bits` that groups of
    weights lie in flash as they are, or packed, so that they must be staged.
    """

    runs: int
    length: int
    depth: int
    channels: int
    windows: bool
    weight_bits: int = 8

    def scratch_bytes(self, block: Block) -> int:
        """Return the scratch of a block: its pixels, then room for two windows or for a group's weights."""
        windows = 2 * self.depth if self.windows else 0
        beside = max(windows, group_bytes(self.depth)) if block.staged else windows
        return block.pairs * 4 * self.depth + beside

    def sizes(self) -> tuple[int, ...]:
        """Return the useful sizes of scratch, upwards: the least, then every one that is faster."""
        return tuple(size for size, _ in _useful(self))

    def block(self, scratch_bytes: int) -> Block:
        """Return the fastest block that fits."""
        return [block for size, block in _useful(self) if size <= scratch_bytes][-1]

    def wanted_bytes(self) -> int:
        """Return the least scratch with which waiting for flash is slight beside the multiplications."""
        useful = _useful(self)
        return next((size for size, block in useful if self._waiting(block) <= _SLIGHT * self._core()), useful[-1][0])

    def blocks(self) -> tuple[Block, ...]:
        """Return the smallest blocks for every number of them that a run can be cut into, staged and not."""
        counts = tuple(_parts_of(-(-self.length // 2)))
        if self.weight_bits < 8:
            return tuple(Block(n, staged=True) for n in counts)
        staged = (Block(n, staged=True) for n in counts if n > 1 and self.channels >= 4)
        return *map(Block, counts), *staged

    def cost(self, block: Block) -> float:
        """Return the cycles of a block's choice: waiting for flash, and copying in order to wait less."""
        copies = self._count(block) * self._sectors() * _COPY_CYCLES[self.weight_bits] if block.staged else 0.0
        return self._waiting(block) + copies

    def _waiting(self, block: Block) -> float:
        blocks = self._count(block)
        once = block.staged or group_bytes(self.depth) <= _CACHED_BYTES
        passes = blocks if once else self.runs * -(-self.length // 2)
        return passes * self._sectors() * _MISS_CYCLES + blocks * _BLOCK_CYCLES

    def _count(self, block: Block) -> int:
        return self.runs * -(-self.length // (2 * block.pairs))

    def _sectors(self) -> float:
        return self.channels / 4 * group_bytes(self.depth, self.weight_bits) / _SECTOR_BYTES

    def _core(self) -> float:
        pairs = self.runs * -(-self.length // 2)
        return pairs * self.channels / 4 * (self.depth / 2 * _STEP_CYCLES + _OUTPUTS_CYCLES)


def _parts_of(whole: int) -> Iterator[int]:
    """Yield the largest of n parts that are as equal as can be, for every n, once each, downwards."""
    part = whole
    while part > 0:
        yield part
        part = -(-whole // -(-whole // (part - 1))) if part > 1 else 0


@lru_cache(maxsize=_REMEMBERED)
def _useful(convolution: PixelBlocks) -> tuple[tuple[int, Block], ...]:
    """Return sizes of scratch and their blocks, upwards, each faster than those before it."""
    found: list[tuple[int, Block]] = []
    costs: list[float] = []
    sized = ((convolution.scratch_bytes(block), block) for block in convolution.blocks())
    for size, block in sorted(sized, key=lambda one: one[0]):
        cost = convolution.cost(block)
        if not costs or cost < costs[-1]:
            found.append((size, block))
            costs.append(cost)
    return tuple(found)
