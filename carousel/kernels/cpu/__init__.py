"""Compiled kernels for the processor: from a cell's loop to C++ to an operator of PyTorch."""
