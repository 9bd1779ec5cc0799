"""Problems, their reference answers and their prompts: generated sums, MATH, and the benchmarks; one table form for all."""
