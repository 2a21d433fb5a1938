"""What scripts/bench measures: one module a section, each with the program in `workers` that does the measuring."""
