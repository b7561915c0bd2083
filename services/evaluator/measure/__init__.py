"""From a run to figures: memory, flash, latency, energy, accuracy."""
