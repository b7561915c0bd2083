"""The one-shot supernet: shared weights, slices of them, and networks cut out of it."""
