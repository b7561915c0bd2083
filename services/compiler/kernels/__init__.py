"""The C kernels, and which files a program needs."""
