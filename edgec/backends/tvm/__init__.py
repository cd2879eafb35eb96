"""CPU code through TVM's TensorIR and LLVM."""
