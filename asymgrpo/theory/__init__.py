"""What the method does exactly: weights of prompts, the entropy equation, and a tabular study. Nothing of models or processes."""
