"""Schedules of kernels for graphics processors, by what a kernel computes."""
