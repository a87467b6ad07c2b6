"""Attention: the reference implementation, tiled, ring, and kernels for TPU and GPU."""
