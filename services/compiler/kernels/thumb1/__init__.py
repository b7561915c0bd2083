"""Kernels for Cortex-M0+ (Armv6-M): generators of assembly in C files."""
