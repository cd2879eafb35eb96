"""The program that times kernels on a device."""
