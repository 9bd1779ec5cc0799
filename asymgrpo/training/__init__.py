"""One training run: a policy, its sampler, the steps between, and what is kept of them."""
