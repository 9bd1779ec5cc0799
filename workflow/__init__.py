"""The graph of jobs: what a configuration must mean, which jobs it needs (rules/), and what is made again."""
