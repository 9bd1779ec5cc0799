"""Rollout engines: tokens, sampler log-probabilities and finish reasons behind one small protocol."""

from asymgrpo.rollout.base import Limits, Request, Rollout, RolloutEngine, SamplerError

__all__ = ["Limits", "Request", "Rollout", "RolloutEngine", "SamplerError"]
