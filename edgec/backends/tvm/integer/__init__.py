"""Integer arithmetic for quantized networks: recognising it in a graph, and the kernels that compute it."""
