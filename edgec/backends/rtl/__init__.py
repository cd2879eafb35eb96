"""Backend for FPGAs and ASICs: quantised networks as exact integer arithmetic in Verilog, by open tools."""
