"""Layers with weights and inputs of one bit, computed by XNOR and population count."""
