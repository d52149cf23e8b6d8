"""The CPU backend: a plan becomes LLVM IR, and that becomes machine code."""
