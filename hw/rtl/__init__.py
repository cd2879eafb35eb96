"""Verilog of the folded engines, and the simulator of netlists."""
