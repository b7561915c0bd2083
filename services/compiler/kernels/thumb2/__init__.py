"""Thumb-2 kernels with the DSP extension for Cortex-M4, M7 and M33: generators of assembly in C files."""
