"""Fixed limits of DeepSpeed and vLLM that more than one room must know."""

LOWEST_VLLM_TEMPERATURE = 0.01
"""vLLM raises what lies between 0, greedy decoding, and this to it without a word."""
BUCKET = 500_000_000
"""Most numbers in DeepSpeed's reduction buffer, which it allocates whole in stages 1 to 3 (its default reduce_bucket_size)."""
MAX_SEQUENCES = 256
"""Sequences that a vLLM sampler decodes together; the rest waits."""
