"""Choosing how contractions are computed by measuring their kernels."""
