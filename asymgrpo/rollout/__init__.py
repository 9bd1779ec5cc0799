"""Rollout engines: tokens, sampler log-probabilities and finish reasons behind one small protocol."""

from asymgrpo.rollout.base import Request, Rollout, RolloutEngine

__all__ = ["Request", "Rollout", "RolloutEngine"]
