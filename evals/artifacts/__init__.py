"""What outlives a study: bundles, RO-Crates, traces of a number, and comparisons of two result sets."""
