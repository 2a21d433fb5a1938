"""The benchmarks of scripts/bench: one module per section, and in `workers` the programs that measure."""
