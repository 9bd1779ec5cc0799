"""Samplers: tokens, sampler log-probabilities and finish reasons behind one small protocol."""

from asymgrpo.rollout.base import Limits, Request, Rollout, Sampler, SamplerError

__all__ = ["Limits", "Request", "Rollout", "Sampler", "SamplerError"]
