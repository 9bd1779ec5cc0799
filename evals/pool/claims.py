"""The claims with the laboratory as a random effect, and where laboratories disagree about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from evals.claims import checks
from evals.claims.checks import Measures
from evals.claims.claim import Claim, Contrast
from evals.claims.decide import Decision, decide
from evals.claims.decided import decide_claim, described, measured, numbers, why_not
from evals.claims.effects import BASE, Effect, Measured, effect
from evals.claims.measures import MEASURES
from evals.claims.readings import Endpoint, at
from evals.claims.table import CLAIMS, POOL, TESTS
from evals.pool import mixed
from evals.pool.factor import LABORATORY, Factor

Labs = Mapping[tuple[str, str, int], str]
"""(model, arm, seed) -> laboratory."""


class Pool:
    """The measures of one model's runs, by laboratory.

    Args:
        frame: rows of evals.claims.measures of one model. labs: whose runs they are. factor: what a laboratory is called, and
            whether it is a setting.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        model: str,
        labs: Labs,
        endpoint: Endpoint = Endpoint.checkpoint,
        factor: Factor = LABORATORY,
    ):
        self.claims, self.factor = at(endpoint, CLAIMS), factor
        self.measures: Measures = {name: measured(frame, name) for name in MEASURES}
        self.labs = {(arm, seed): lab for (of, arm, seed), lab in labs.items() if of == model}
        self.names = list(dict.fromkeys(self.labs.values()))
        self.fit = lru_cache(maxsize=256)(self._fitted)

    def runs(self, measure: str) -> dict[str, dict[str, list[float]]]:
        """arm -> laboratory -> values of one measure; the base model is not trained."""
        found: dict[str, dict[str, list[float]]] = {}
        for arm, mine in self.measures.get(measure, {}).items():
            for seed, value in sorted(mine.values.items()) if arm != BASE else ():
                found.setdefault(arm, {}).setdefault(self.labs[arm, seed], []).append(value)
        return found

    def _fitted(self, measure: str, arms: frozenset[str], crossed: bool = True) -> mixed.Fit:
        return mixed.fit(self.runs(measure), arms, crossed)

    def effect(self, measure: str, weights: Contrast, pool: frozenset[str], crossed: bool = True) -> Effect:
        """A contrast, with the laboratory as a random effect; arms outside the pool have variances of their own."""
        arms, sources = self.measures[measure], []
        trained = [arm for arm in weights if arm != BASE]
        inside = {arm: weights[arm] for arm in trained if arm in pool}
        alone = [{arm: weights[arm]} for arm in trained if arm not in pool]
        estimate = 0.0
        for part in [inside, *alone] if inside else alone:
            fit = self.fit(measure, pool if part is inside else frozenset(part), crossed)
            value, variance, degrees = fit.contrast(part)
            estimate += value
            sources.append((variance, degrees))
        if BASE in weights:
            estimate += weights[BASE] * next(iter(arms[BASE].values.values()))
            sources.append(((weights[BASE] * arms[BASE].sampling_sd) ** 2, np.inf))
        total = sum(variance for variance, _ in sources)
        spread = sum(variance**2 / degrees for variance, degrees in sources)
        degrees = total**2 / spread if spread > 0 else np.inf if total > 0 else 1.0
        return Effect(float(estimate), float(np.sqrt(total)), float(degrees), min(len(arms[a].values) for a in trained))

    def decide(self, claim: Claim, crossed: bool = True) -> Decision | str:
        """The verdict on a claim, or why it is not tested; not crossed: without laboratory x arm."""
        if self.factor.settings and BASE in claim.arms:
            return f"not pooled: each {self.factor.name} has base answers of its own"
        if why := why_not(claim, self.measures):
            return why
        assert claim.margin is not None, claim.id
        parts = [self.effect(claim.measure, weights, pool_of(claim), crossed) for weights in claim.parts]
        return decide(parts, claim.margin.value, len(TESTS))

    def without(self, claim: Claim) -> Decision | str:
        """The verdict on a claim without the random effect. Settings differ in level by design, and not all have all arms: of
        theirs only setting x arm is left out."""
        return self.decide(claim, crossed=False) if self.factor.settings else decide_claim(claim, self.measures)

    def of_laboratory(self, name: str) -> Measures:
        """The measures of one laboratory's runs; the base model is everybody's."""
        return {
            measure: {arm: mine if arm == BASE else self._part(arm, mine, name) for arm, mine in arms.items()}
            for measure, arms in self.measures.items()
        }

    def _part(self, arm: str, mine: Measured, name: str) -> Measured:
        own = {seed for (of, seed), lab in self.labs.items() if of == arm and lab == name}
        return replace(
            mine,
            values={seed: value for seed, value in mine.values.items() if seed in own},
            diverged={seed: step for seed, step in mine.diverged.items() if seed in own},
            lacking=mine.lacking & own,
        )

    def differ(self, claim: Claim) -> float | None:
        """p value of the laboratories having the same contrast; of several parts the least, times their number."""
        runs, pool = self.runs(claim.measure), pool_of(claim)
        found = []
        for weights in claim.parts:
            trained = {arm: weight for arm, weight in weights.items() if arm != BASE}
            if trained.keys() <= runs.keys():
                found.append(mixed.differ(runs, trained, pool | trained.keys()))
        known = [p for p in found if p is not None]
        return min(1.0, len(known) * min(known)) if known else None


def pool_of(claim: Claim) -> frozenset[str]:
    """The arms that share their variances in the test of a claim."""
    return frozenset((POOL | set(claim.arms)) - checks.CONTROLS - {BASE})


def claim_rows(pool: Pool) -> Iterator[dict[str, Any]]:
    """A row per claim: as in evals.claims.decided, with the standard deviations of the random effects and the verdict without."""
    for claim in pool.claims:
        decision = pool.decide(claim)
        row = described(claim) | numbers(decision)
        row["verdict_without"] = numbers(pool.without(claim))["verdict"]
        if not isinstance(decision, str):
            fit = pool.fit(claim.measure, pool_of(claim))
            variances = {"seeds": fit.seeds, "laboratory": fit.laboratory, "laboratory_arm": fit.laboratory_arm}
            row |= {f"sd_{name}": float(np.sqrt(x)) for name, x in variances.items()}
        yield row


def disagreements(pool: Pool) -> Iterator[dict[str, Any]]:
    """A row per tested claim and laboratory: its own estimate and verdict, and whether the laboratories differ."""
    by_lab = {name: pool.of_laboratory(name) for name in pool.names}
    tested = [claim for claim in pool.claims if claim.parts and not isinstance(pool.decide(claim), str)]
    for claim in tested:
        p = pool.differ(claim)
        for name, measures in by_lab.items():
            own = decide_claim(claim, measures)
            fewest = min((len(measures[claim.measure][arm].values) for arm in claim.arms if arm != BASE), default=0)
            told = numbers(own) | {"n_seeds": fewest}
            yield {
                **{"id": claim.id, "laboratory": name, "measure": MEASURES[claim.measure].about},
                **{
                    key: told.get(key) for key in ("estimate", "ci95_low", "ci95_high", "verdict", "why_not", "n_seeds")
                },
                **{"unit": MEASURES[claim.measure].unit, "estimate": _estimate(claim, measures)},
                **{"p_differ": p, "differ": p is not None and p < 0.05 / len(tested)},
            }


def by_laboratory(pool: Pool) -> Iterator[dict[str, Any]]:
    """A row per laboratory, arm and measure: the mean of its runs there, with the variance that the arms of the pool share."""
    for name in pool.names:
        for measure, arms in pool.of_laboratory(name).items():
            for arm, mine in arms.items():
                if arm == BASE or not mine.values:
                    continue
                about: dict[str, Any] = {
                    "laboratory": name,
                    "arm": arm,
                    "measure": measure,
                    "unit": MEASURES[measure].unit,
                }
                about |= {"estimate": float(np.mean(list(mine.values.values()))), "n_seeds": len(mine.values)}
                if found := effect({arm: 1.0}, arms, pool=POOL):
                    about |= {"std_error": found.std_error, "degrees": found.degrees}
                    about |= {"ci95_low": found.end(0.025), "ci95_high": found.end(0.975)}
                yield about


def _estimate(claim: Claim, measures: Measures) -> float | None:
    """The weakest part of a contrast, of however few runs."""
    arms = measures[claim.measure]
    if not all(arms[arm].values for arm in claim.arms):
        return None
    means = {arm: float(np.mean(list(arms[arm].values.values()))) for arm in claim.arms}
    return min(sum(weight * means[arm] for arm, weight in part.items()) for part in claim.parts)


def opposite(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Claims that some laboratory supports and another contradicts, each by itself."""
    verdicts: dict[str, set[str]] = {}
    for row in rows:
        verdicts.setdefault(row["id"], set()).add(str(row["verdict"]))
    return [name for name, found in verdicts.items() if {"supported", "contradicted"} <= found]
