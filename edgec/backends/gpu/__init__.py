"""Graphics processors: kernels from the same kernel graph as for CPUs, and a plan of their launches as data."""
