"""C99: one file that needs a compiler and ``math.h``, and nothing else."""
