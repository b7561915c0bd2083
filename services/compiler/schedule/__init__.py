"""Which operator computes which part of its output when: producers of `Schedule` values."""
