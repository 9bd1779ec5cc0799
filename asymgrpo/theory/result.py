"""The exact statements and the tabular study as one table:

    python -m asymgrpo.theory --settings theory.json --out theory.parquet

Rows of `part`
  weight     s(q) and the noise of one update, by success rate `at`
  size       share of hard prompts in the gain, mean |A| over all and over mixed groups; success rates uniform on [0, 1]
  crossing   what an arm has where its mean success crosses `at`: mean over seeds, and its difference from GRPO
  equation   slope of entropy along one update of a random policy (`case`), measured and predicted; `update` says whether the
             advantages are those of one group or expected ones
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from asymgrpo.content import data_hash
from asymgrpo.errors import InputError
from asymgrpo.files import write_table
from asymgrpo.method.arm import Arm
from asymgrpo.method.arms import ARMS, GRPO
from asymgrpo.provenance import derived
from asymgrpo.study.sections.theory import Theory
from asymgrpo.theory.acts import Acts, Array, told_apart
from asymgrpo.theory.dynamics import EXACT, cases
from asymgrpo.theory.policy import DIRECTIONS
from asymgrpo.theory.study import UPDATES, Draws, Prompts, make_prompts, train
from asymgrpo.theory.weight import covariance, hard_share, mean_size, uniform, weight

if TYPE_CHECKING:
    import pyarrow as pa

RATES = np.linspace(0.02, 0.98, 49)
"""Success rates at which the weight is written down."""
Row = dict[str, Any]


def main(
    settings: Annotated[
        str,
        typer.Option(
            help="JSON or a file with it: arms, size of groups and the study (asymgrpo.study.settings.theory)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to write the table (Parquet).")],
) -> None:
    """Compute what the method does exactly, and the tabular study."""
    from asymgrpo.study.settings import loads

    asked = loads(settings)
    arms, theory, group = read(asked)
    acts, like = told_apart(arms, group)
    if GRPO.name not in acts:
        raise InputError(f"--settings: {GRPO.name} is not among the arms, and differences are taken from it; add it.")
    table = as_table(rows(acts, theory))
    origin = {"data_hash": data_hash(table), **derived({}), "settings": asked, "acts_like": like}
    write_table(table, out, origin)


def read(asked: Mapping[str, Any]) -> tuple[dict[str, Arm], Theory, int]:
    """Arms, the section `theory` and G of the settings. Raises InputError when they are not of the theory."""
    from asymgrpo.study.config import parse_section

    options = asked.get("options", {})
    if missing := {"arms", "theory", "group_size"} - options.keys():
        raise InputError(
            f"--settings: options.{sorted(missing)[0]} is missing; `asymgrpo settings RESULTS --theory` prints the settings."
        )
    arms = {name: Arm.model_validate(options["arms"][name]) for name in in_order(options["arms"])}
    return arms, parse_section("theory", options["theory"]), int(options["group_size"])


def in_order(names: Iterable[str]) -> list[str]:
    """Names of arms in the order of the table of arms, then the study's own: a file of settings sorts them by letter, and of
    arms that act alike the first one stands for all.

    >>> in_order(["asymgrpo", "grpo", "mine", "reinforce"])
    ['reinforce', 'grpo', 'asymgrpo', 'mine']
    """
    there = list(names)
    return [name for name in ARMS if name in there] + sorted(set(there) - set(ARMS))


def rows(acts: Mapping[str, Acts], theory: Theory) -> Iterator[Row]:
    for arm, found in acts.items():
        yield from ({"arm": arm} | row for row in weights(found))
        yield from ({"arm": arm} | row for row in equation(found, theory))
    yield from crossings(acts, theory)


def weights(acts: Acts) -> Iterator[Row]:
    """s(q), the noise of one group's update where a prompt has one correct and one wrong answer, and the sizes."""
    found = weight(acts, RATES)
    for q, s in zip(RATES, found, strict=True):
        yield {"part": "weight", "quantity": "s", "at": q, "value": s}
        answers, correct = np.array([q, 1 - q]), np.array([True, False])
        spread = np.sqrt(np.trace(covariance(acts, answers, correct)))
        slope = s * np.linalg.norm(answers * (correct - q))
        if slope > 0:
            yield {"part": "weight", "quantity": "noise", "at": q, "value": spread / slope}
    prompts = uniform()
    yield {"part": "size", "quantity": "hard_share", "value": hard_share(acts, prompts)}
    yield {"part": "size", "quantity": "mean_abs", "value": mean_size(acts, prompts)}
    yield {"part": "size", "quantity": "mean_abs_mixed", "value": mean_size(acts, prompts, mixed=True)}


def equation(acts: Acts, theory: Theory) -> Iterator[Row]:
    """Slopes of entropy, measured and predicted, for both gradients; the bonus is left out."""
    for number, pair in enumerate(cases(acts, theory.cases, theory.answers, theory.spread, theory.seed)):
        for update, case in zip(("group", "expected"), pair, strict=True):
            for gradient in EXACT:
                about = {"part": "equation", "gradient": gradient, "update": update, "case": number}
                for name, value in case.slopes(gradient).items():
                    yield about | {"quantity": name, "value": value}


def crossings(acts: Mapping[str, Acts], theory: Theory) -> Iterator[Row]:
    """Every arm trained with both gradients, on drawn groups and by expected updates."""
    seeds = range(theory.seed, theory.seed + theory.seeds)
    prompts = make_prompts(seeds, theory.prompts, theory.answers, theory.most_correct, theory.spread)
    draws = Draws(seeds, theory.prompts, acts[GRPO.name].group)
    rates = {"plain": theory.learning_rate, "natural": theory.natural_learning_rate}
    for gradient in DIRECTIONS:
        for update in UPDATES:
            about = {"part": "crossing", "gradient": gradient, "update": update}
            trained = _trainer(prompts, draws if update == "sampled" else None, gradient, rates[gradient], theory)
            reference = trained(acts[GRPO.name])
            for arm, found in acts.items():
                for (at, values), (_, grpo) in zip(trained(found), reference, strict=True):
                    for name in values:
                        row = about | {"arm": arm, "at": at, "quantity": name}
                        yield row | summary(values[name], grpo[name])


def _trainer(
    prompts: Prompts, draws: Draws | None, gradient: str, learning_rate: float, theory: Theory
) -> Callable[[Acts], list[tuple[float, dict[str, Array]]]]:
    def trained(acts: Acts) -> list[tuple[float, dict[str, Array]]]:
        found = train(acts, prompts, draws, gradient, learning_rate, theory.success, theory.max_steps, theory.k)
        return [(crossing.success, crossing.values) for crossing in found]

    return trained


def summary(values: Array, reference: Array) -> Row:
    """Mean over the seeds that crossed, and the mean difference over those that both did, with standard errors over seeds."""
    own, both = values[~np.isnan(values)], (values - reference)[~np.isnan(values + reference)]
    return {
        **{"value": _mean(own), "std_error": _error(own), "n_seeds": len(own)},
        **{"difference": _mean(both), "difference_se": _error(both)},
    }


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


def _error(values: Array) -> float | None:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None


def as_table(found: Iterator[Row]) -> pa.Table:
    """The rows as a table of one layout."""
    import pyarrow as pa

    text, number = ("part", "arm", "gradient", "update", "quantity"), ("at", "value", "std_error")
    fields = [(name, pa.string()) for name in text] + [(name, pa.float64()) for name in number]
    fields += [("difference", pa.float64()), ("difference_se", pa.float64())]
    fields += [("n_seeds", pa.int32()), ("case", pa.int32())]
    return pa.Table.from_pylist(list(found), schema=pa.schema(fields))
