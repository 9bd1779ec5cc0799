"""What is kept of a study: bundles, crates, traces, and comparisons of two."""
