"""Cells on a GPU: a loop's assignments as Triton kernels, its products by cuBLAS or inside them."""
