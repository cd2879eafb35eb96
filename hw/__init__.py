"""What runs on hardware: C runtime, kernels, test benches."""
