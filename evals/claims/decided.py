"""A verdict on every claim of the paper, computed from the training runs of a study.

    python -m evals.claims --runs run_scores.parquet --metrics M.parquet ... --evaluations E.parquet ... \\
        --measures measures.parquet --out claims.parquet --sensitivity claims_sensitivity.parquet --markdown claims.md

The claims are in evals/claims/table.py, what they measure in evals/claims/measures.py, and how they are decided in
evals/claims/effects.py and evals/claims/decide.py. Beside each verdict stand those of the other analyses (Welch, paired,
trimmed) and of other readings (evals/claims/readings.py).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals import asked
from evals.claims import checks
from evals.claims.checks import Measures
from evals.claims.claim import Claim, Contrast
from evals.claims.decide import Decision, decide
from evals.claims.effects import BASE, MIN_SEEDS, Analysis, Measured, effect
from evals.claims.measures import MEASURES, SCORES, arms_of, measure_runs
from evals.claims.readings import Endpoint, at, readings
from evals.claims.table import CLAIMS, POOL, TESTS
from evals.claims.verdict import Conclusion
from evals.claims.words import render, sentence
from evals.estimates.outcomes import finished, of_frame
from evals.io import DataError, derived, inputs_metadata, write_table, write_text
from evals.names import rule_to_show, title
from evals.protocol.compare import NO_PROTOCOL
from evals.protocol.rows import rows as protocol_rows
from evals.protocol.rows import stated_by
from evals.tables.run_scores import read_run_scores

NUMBERS = [
    *(
        (name, pa.float64())
        for name in ("estimate", "ci_low", "ci_high", "level", "ci95_low", "ci95_high", "std_error")
    ),
    *((name, pa.float64()) for name in ("degrees", "p_value", "p_family")),
    ("n_tests", pa.int32()),
    ("n_seeds", pa.int32()),
    ("relevant", pa.bool_()),  # whether the effect is shown to be larger than the margin
    ("verdict", pa.string()),
    ("why_not", pa.string()),  # why a claim was not tested
]
SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("model", "id", "version", "section", "claim", "reading", "measure", "selection")
        ),
        *((name, pa.string()) for name in ("contrast", "test", "unit")),
        ("margin", pa.float64()),
        ("margin_from", pa.string()),
        *NUMBERS,
        ("checks", pa.string()),  # the manipulation checks that it passed
        ("n_diverged", pa.int32()),  # runs of the contrast that diverged; with one the claim is not tested
        ("protocol", pa.string()),  # declared before its runs, changed after, or exploratory (evals.protocol)
        ("sentence", pa.string()),
    ]
)
SENSITIVITY = pa.schema(
    [*((name, pa.string()) for name in ("model", "id", "kind", "other", "measure", "contrast", "unit")), *NUMBERS]
)
"""kind: "analysis" or "reading"; other: which. The verdict is as if this had been declared in place of the primary one."""


def measured(measures: pd.DataFrame, measure: str) -> dict[str, Measured]:
    """arm -> its values of one measure, from the rows of one model."""
    found = {}
    trained = {str(arm): set(rows["train_seed"].tolist()) for arm, rows in measures.groupby("arm")}
    for arm, every in arms_of(measures, measure).items():
        rows, lost = finished(every), of_frame(every)
        values = dict(zip(rows["train_seed"].tolist(), rows["value"].tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            raise DataError(f"measure {measure!r} of {arm!r} is not finite in some run; make the measures again")
        sd = every["sampling_sd"].iloc[0]
        diverged = {seed: step for seeds in lost.values() for seed, step in seeds.items()}
        lacking = frozenset(trained[arm] - values.keys() - diverged.keys())
        found[arm] = Measured(values, float(sd) if arm == BASE and pd.notna(sd) else 0.0, diverged, lacking)
    return found


def diverged_in(claim: Claim, measures: Measures) -> list[tuple[str, int, int]]:
    """(arm, seed, step) of the diverged runs among those that a claim compares."""
    arms = measures.get(claim.measure, {})
    needed = [arm for arm in claim.arms if arm in arms]
    return [(arm, seed, step) for arm in needed for seed, step in arms[arm].diverged.items()]


def decide_claim(claim: Claim, measures: Measures, analysis: Analysis = Analysis.POOLED) -> Decision | str:
    """The verdict on a claim, or why it is not tested."""
    if why := why_not(claim, measures):
        return why
    arms = measures[claim.measure]
    parts = [effect(weights, arms, analysis, POOL | set(claim.arms) - checks.CONTROLS) for weights in claim.parts]
    if not all(parts):
        return f"fewer than {MIN_SEEDS} training seeds in common"
    assert claim.margin is not None, claim.id
    return decide([part for part in parts if part is not None], claim.margin.value, len(TESTS))


def why_not(claim: Claim, measures: Measures) -> str:
    """Why a claim cannot be tested with these runs; empty if it can."""
    if claim.untested:
        return claim.untested
    arms = measures.get(claim.measure, {})
    run = {arm for found in measures.values() for arm in found}
    if missing := [title(arm) for arm in claim.arms if arm not in run]:
        return f"not run: {', '.join(missing)}"
    if lost := diverged_in(claim, measures):
        return f"diverged: {', '.join(f'{title(arm)} (seed {s} at step {step})' for arm, s, step in lost)}"
    about = MEASURES[claim.measure].about
    if missing := [title(arm) for arm in claim.arms if arm not in arms]:
        return f"not measured in these runs ({', '.join(missing)}): {about}"
    trained = [arm for arm in claim.arms if arm != BASE]
    if (fewest := min(len(arms[arm].values) for arm in trained)) < MIN_SEEDS:
        return f"training seeds: {fewest}, at least {MIN_SEEDS} are needed"
    if lacking := [f"{title(arm)} (seed {seed})" for arm in trained for seed in sorted(arms[arm].lacking)]:
        return f"nothing to measure in {', '.join(lacking)}: {about}"
    return checks.failed(claim, measures)


def numbers(decision: Decision | str) -> dict[str, Any]:
    """The columns NUMBERS."""
    if isinstance(decision, str):
        return {"verdict": Conclusion.NOT_TESTED, "why_not": decision, "relevant": False}
    return vars(decision) | {"why_not": None}


def claim_rows(
    claims: Sequence[Claim],
    measures: pd.DataFrame,
    protocol: Callable[[str, Claim], str] = lambda model, claim: NO_PROTOCOL,
) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA, a block for each model; protocol: what the row of a model and claim says of it (evals.protocol.rows)."""
    for model, mine in measures.groupby("model", sort=True):
        by_measure = {name: measured(mine, name) for name in MEASURES}
        rules = mine["selection"].dropna()
        for claim in claims:
            decision = decide_claim(claim, by_measure)
            row = {
                **described(claim),
                **numbers(decision),
                "model": model,
                "n_diverged": len(diverged_in(claim, by_measure)),
                "selection": str(rules.iloc[0]) if claim.measure in SCORES and not rules.empty else None,
                "checks": None if isinstance(decision, str) else checks.passed(claim, by_measure),
                "protocol": protocol(str(model), claim),
            }
            yield row | {"sentence": sentence(row)}


def sensitivity_rows(claims: Sequence[Claim], measures: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of SENSITIVITY: every tested claim by the other analyses, and by the other readings with the primary one."""
    for model, mine in measures.groupby("model", sort=True):
        by_measure = {name: measured(mine, name) for name in MEASURES}
        for claim in claims:
            if isinstance(decide_claim(claim, by_measure), str):
                continue
            others: list[tuple[str, str, Claim, Analysis]] = [
                ("analysis", str(one), claim, one) for one in Analysis if one is not Analysis.POOLED
            ]
            others += [("reading", read.name, read.claim, Analysis.POOLED) for read in readings(claim)]
            for kind, name, read_claim, analysis in others:
                about = described(read_claim)
                yield {
                    **{key: about[key] for key in ("id", "measure", "contrast", "unit")},
                    **numbers(decide_claim(read_claim, by_measure, analysis)),
                    **{"model": model, "kind": kind, "other": name},
                }


def described(claim: Claim) -> dict[str, Any]:
    """What a row says of a claim before it is tested."""
    measure = MEASURES.get(claim.measure)
    return {
        "id": claim.id,
        "version": claim.version,
        "section": claim.place,
        "claim": claim.sentence,
        "reading": claim.reading,
        "measure": measure.about if measure else None,
        "contrast": " and ".join(spelled(weights) for weights in claim.parts) or None,
        "test": procedure(claim) or None,
        "unit": measure.unit if measure else None,
        "margin": claim.margin.value if claim.margin else None,
        "margin_from": claim.margin.source if claim.margin else None,
    }


def procedure(claim: Claim) -> str:
    """The name of a claim's test.

    >>> procedure(CLAIMS[0])
    't test over seeds, variance pooled over arms'
    """
    arms, controls = set(claim.arms), checks.CONTROLS
    if not arms:
        return ""
    notes = [", variance pooled over arms"]
    notes += [", its own for the control"] if arms & controls else []
    notes += [", sampling variance of the base model added"] if BASE in arms else []
    notes += [f", all of {len(claim.parts)} parts"] if len(claim.parts) > 1 else []
    return "t test over seeds" + "".join(notes)


def spelled(weights: Contrast) -> str:
    """A contrast in words.

    >>> spelled({"asymgrpo": 1.0, "grpo": -1.0}), spelled({"grpo": 1.0})
    ('AsymGRPO − GRPO', 'GRPO')
    """
    ordered = sorted(weights.items(), key=lambda item: -item[1])
    plain = sorted(weights.values()) in ([-1.0, 1.0], [1.0])
    names = [title(arm) for arm, _ in ordered]
    if plain:
        return " − ".join(names)
    return " ".join(f"{weight:+.2f} {name}".replace("-", "−") for name, (_, weight) in zip(names, ordered, strict=True))


def main(
    runs: Annotated[Path, typer.Option(help="scores of each run, of evals.tables.run_scores (Parquet)")],
    metrics: Annotated[list[Path], typer.Option(help="metrics.parquet of the runs")],
    measures: Annotated[Path, typer.Option(help="measures of each run to write (Parquet)")],
    out: Annotated[Path, typer.Option(help="claims with verdicts to write (Parquet)")],
    sensitivity: Annotated[Path, typer.Option(help="other analyses and readings to write (Parquet)")],
    markdown: Annotated[Path, typer.Option(help="all of it to write, to read (Markdown)")],
    evaluations: Annotated[
        list[Path] | None, typer.Option(help="eval.parquet of the runs; default: nothing late in training is measured")
    ] = None,
    selection: Annotated[
        str | None, typer.Option(help="checkpoint rule; default: one that never looks at a benchmark")
    ] = None,
    endpoint: Annotated[
        Endpoint,
        typer.Option(help="of claims on accuracy: the selected checkpoint on the benchmarks, or late in training"),
    ] = Endpoint.checkpoint,
    protocol: Annotated[
        Path | None, typer.Option(help="what was declared before the runs (asymgrpo prereg); default: nothing was")
    ] = None,
) -> None:
    """Decide the paper's claims."""
    scores = read_run_scores(runs, selection).to_pandas()
    by_run = measure_runs(metrics, scores, selection or rule_to_show(scores["selection"]), evaluations or [])
    inputs = inputs_metadata([runs, *metrics, *(evaluations or [])])
    origin = derived(inputs)
    about = {"data_hash": data_hash(by_run), **origin}
    write_table(by_run, measures, about)
    frame, claims = by_run.to_pandas(), at(endpoint, CLAIMS)
    of_runs = stated_by(about for about in inputs.values() if "train_seed" in about)
    told = protocol_rows(protocol, of_runs, asked.statement().get("settings"))
    decided = pa.Table.from_pylist(list(claim_rows(claims, frame, told)), SCHEMA)
    others = pa.Table.from_pylist(list(sensitivity_rows(claims, frame)), SENSITIVITY)
    derived_from = origin | {"inputs": {measures.name: {"data_hash": about["data_hash"]}}}
    write_table(decided, out, {"data_hash": data_hash(decided), **derived_from})
    write_table(others, sensitivity, {"data_hash": data_hash(others), **derived_from})
    write_text(render(decided.to_pylist(), others.to_pylist()), markdown)
