"""The method: arms, advantages, losses, and nothing of models, files or processes."""
