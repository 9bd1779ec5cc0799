"""A verdict on every claim of the paper, computed from the training runs of a study.

    python -m evals.claims --runs run_scores.parquet --metrics M.parquet ... --measures measures.parquet \\
        --out claims.parquet --markdown claims.md

The claims are in evals/claims/table.py, what they measure in evals/claims/measures.py, and how they are decided in
evals/claims/decide.py.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from evals.claims.decide import BASE, Conclusion, Decision, Effect, Measured, decide, effect
from evals.claims.measures import MEASURES, TRAINING, arms_of, measure_runs
from evals.claims.table import CLAIMS, Claim, Contrast
from evals.estimates.outcomes import finished, of_frame
from evals.io import DataError, derived, inputs_metadata, write_table, write_text
from evals.names import describe_rule, rule_to_show, title
from evals.tables.run_scores import read_run_scores

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("id", pa.string()),
        ("section", pa.string()),
        ("claim", pa.string()),
        ("reading", pa.string()),
        ("measure", pa.string()),
        ("selection", pa.string()),
        ("contrast", pa.string()),
        ("test", pa.string()),
        ("unit", pa.string()),
        ("relevant", pa.float64()),
        ("estimate", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("level", pa.float64()),
        ("ci95_low", pa.float64()),
        ("ci95_high", pa.float64()),
        ("std_error", pa.float64()),
        ("degrees", pa.float64()),
        ("p_value", pa.float64()),
        ("p_holm", pa.float64()),
        ("n_tests", pa.int32()),
        ("n_seeds", pa.int32()),
        ("verdict", pa.string()),
        ("why_not", pa.string()),  # why a claim was not tested
        ("n_diverged", pa.int32()),  # runs of the contrast that diverged; with one the claim is not tested
    ]
)


def measured(measures: pd.DataFrame, measure: str) -> dict[str, Measured]:
    """arm -> its values of one measure, from the rows of one model."""
    found = {}
    for arm, every in arms_of(measures, measure).items():
        rows, lost = finished(every), of_frame(every)
        values = dict(zip(rows["train_seed"].tolist(), rows["value"].tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            raise DataError(f"measure {measure!r} of {arm!r} is not finite in some run; make the measures again")
        sd = every["sampling_sd"].iloc[0]
        diverged = {seed: step for seeds in lost.values() for seed, step in seeds.items()}
        found[arm] = Measured(values, float(sd) if arm == BASE and pd.notna(sd) else 0.0, diverged)
    return found


def diverged_in(claim: Claim, arms: Mapping[str, Measured]) -> list[tuple[str, int, int]]:
    """(arm, seed, step) of the diverged runs among those that a claim compares: the seeds that all its trained arms share."""
    needed = {arm: arms[arm] for weights in claim.parts for arm in weights if arm != BASE and arm in arms}
    shared = set.intersection(*(found.seeds for found in needed.values())) if needed else set()
    return [(arm, s, step) for arm, found in needed.items() for s, step in found.diverged.items() if s in shared]


def effects(claim: Claim, arms: Mapping[str, Measured]) -> list[Effect] | None:
    """The parts of a claim, None if one of them cannot be tested."""
    if diverged_in(claim, arms):
        return None
    parts = [effect(weights, arms) for weights in claim.parts]
    return [part for part in parts if part is not None] if all(parts) else None


def decide_claims(claims: Sequence[Claim], measures: Mapping[str, Mapping[str, Measured]]) -> dict[str, Decision]:
    """Claim id -> decision, for the claims that the runs of one model can test; Holm over these.

    Args:
        claims: of evals.claims.table.
        measures: measure -> arm -> values.
    """
    found = [(claim, effects(claim, measures[claim.measure])) for claim in claims]
    testable = [(claim, parts) for claim, parts in found if parts is not None]
    relevant = [MEASURES[claim.measure].relevant for claim, _ in testable]
    decisions = decide([parts for _, parts in testable], relevant)
    return {claim.id: decision for (claim, _), decision in zip(testable, decisions, strict=True)}


def claim_rows(claims: Sequence[Claim], measures: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of SCHEMA, a block for each model."""
    for model, mine in measures.groupby("model", sort=True):
        by_measure = {name: measured(mine, name) for name in MEASURES}
        decisions = decide_claims(claims, by_measure)
        rules = mine["selection"].dropna()
        for claim in claims:
            decision = decisions.get(claim.id)
            verdict = {"verdict": Conclusion.NOT_TESTED, "why_not": why_not(claim, by_measure[claim.measure])}
            selection = None if claim.measure in TRAINING or rules.empty else str(rules.iloc[0])
            yield {
                **described(claim),
                "n_diverged": len(diverged_in(claim, by_measure[claim.measure])),
                "model": model,
                "selection": selection,
                **(vars(decision) if decision else verdict),
            }


def described(claim: Claim) -> dict[str, Any]:
    """What a row says of a claim before it is tested."""
    measure = MEASURES[claim.measure]
    return {
        "id": claim.id,
        "section": claim.section,
        "claim": claim.sentence,
        "reading": claim.reading,
        "measure": measure.about,
        "contrast": " and ".join(spelled(weights) for weights in claim.parts),
        "test": procedure(claim),
        "unit": measure.unit,
        "relevant": measure.relevant,
    }


def procedure(claim: Claim) -> str:
    """The name of a claim's test.

    >>> procedure(CLAIMS[0])
    'paired t test over seeds'
    """
    arms = {arm for weights in claim.parts for arm in weights}
    if BASE in arms:
        return "t test over seeds, sampling variance of the base model added"
    kind = "one-sample" if len(arms) == 1 else "paired"
    return f"{kind} t test over seeds" + (f", all of {len(claim.parts)} parts" if len(claim.parts) > 1 else "")


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


def why_not(claim: Claim, arms: Mapping[str, Measured]) -> str:
    """Why a claim cannot be tested with these arms."""
    needed = list(dict.fromkeys(arm for weights in claim.parts for arm in weights))
    if missing := [title(arm) for arm in needed if arm not in arms]:
        return f"not run: {', '.join(missing)}"
    if lost := diverged_in(claim, arms):
        return f"diverged: {', '.join(f'{title(arm)} (seed {s} at step {step})' for arm, s, step in lost)}"
    shared = set.intersection(*(set(arms[arm].values) for arm in needed if arm != BASE))
    return f"training seeds in common: {len(shared)}"


def shown(measure: str, value: float) -> str:
    """A difference as readers see it, without its unit.

    >>> shown("accuracy", 0.0286), shown("logp_gain", -0.00123)
    ('+2.9', '−1.2')
    """
    scaled = MEASURES[measure].shown(value)
    return f"{scaled:+.2f}" if MEASURES[measure].unit == "" else f"{scaled:+.1f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p value for readers.

    >>> p_text(0.00004), p_text(0.25)
    ('< 0.001', '0.250')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of claims as Markdown."""
    parts = ["# Claims\n"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        parts += [f"## {model}\n", summary(mine), table(mine), caption(mine)]
    return "\n".join(parts)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many claims have which verdict."""
    counts = {str(verdict): sum(row["verdict"] == verdict for row in rows) for verdict in Conclusion}
    return f"{len(rows)} claims: " + ", ".join(f"{number} {verdict}" for verdict, number in counts.items()) + ".\n"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Claims as rows of a Markdown table."""
    names = {measure.about: name for name, measure in MEASURES.items()}
    head = ("claim", "where", "estimate [interval]", "95 %, this claim alone", "p (Holm)", "seeds", "verdict")
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|--:|--:|---|"]
    for row in rows:
        name, estimate, alone, p, seeds = names[row["measure"]], row["why_not"], "", "", ""
        if row.get("n_diverged"):
            estimate = row["why_not"] or estimate
        if row["why_not"] is None:
            ends = [shown(name, row[key]) for key in ("estimate", "ci_low", "ci_high")]
            alone = f"[{shown(name, row['ci95_low'])}, {shown(name, row['ci95_high'])}]"
            unit = f" {row['unit']}" if row["unit"] else ""
            estimate, p, seeds = f"{ends[0]} [{ends[1]}, {ends[2]}]{unit}", p_text(row["p_holm"]), str(row["n_seeds"])
        claim = f"{row['claim']} ({row['reading']})"
        lines.append(f"| {claim} | {row['section']} | {estimate} | {alone} | {p} | {seeds} | **{row['verdict']}** |")
    return "\n".join(lines) + "\n"


def caption(rows: Sequence[Mapping[str, Any]]) -> str:
    """How the table is to be read."""
    tested = [row for row in rows if row["why_not"] is None]
    rules = {row["selection"] for row in rows if row["selection"]}
    checkpoint = f" Scores are of the checkpoint {describe_rule(rules.pop())}." if rules else ""
    if not tested:
        return f"Nothing could be tested.{checkpoint}\n"
    matters = {name: f"{shown(name, m.relevant).lstrip('+')} {m.unit}".strip() for name, m in MEASURES.items()}
    return (
        "Positive estimates favour the claim. t tests over training seeds, paired where arms are compared, Holm over the "
        f"{tested[0]['n_tests']} claims tested; intervals have the level of Holm's last step, {100 * tested[0]['level']:.2f} %. "
        "Supported: the interval is above 0. Not supported: it is below the smallest effect that would matter "
        f"(accuracy {matters['accuracy']}, entropy {matters['entropy_late']}, log-probability {matters['logp_gain']}, "
        f"correlation {matters['cov_correlation']}). Problems are taken as fixed: the intervals speak about new training "
        f"seeds.{checkpoint}\n"
    )


def main(
    runs: Annotated[Path, typer.Option(help="scores of each run, of evals.tables.run_scores (Parquet)")],
    metrics: Annotated[list[Path], typer.Option(help="metrics.parquet of the runs")],
    measures: Annotated[Path, typer.Option(help="measures of each run to write (Parquet)")],
    out: Annotated[Path, typer.Option(help="claims with verdicts to write (Parquet)")],
    markdown: Annotated[Path, typer.Option(help="the same to write, to read (Markdown)")],
    selection: Annotated[
        str | None, typer.Option(help="checkpoint rule; default: one that never looks at a benchmark")
    ] = None,
) -> None:
    """Decide the paper's claims."""
    scores = read_run_scores(runs, selection).to_pandas()
    by_run = measure_runs(metrics, scores, selection or rule_to_show(scores["selection"]))
    origin = derived(inputs_metadata([runs, *metrics]))
    about = {"data_hash": data_hash(by_run), **origin}
    write_table(by_run, measures, about)
    decided = pa.Table.from_pylist(list(claim_rows(CLAIMS, by_run.to_pandas())), SCHEMA)
    derived_from = origin | {"inputs": {measures.name: {"data_hash": about["data_hash"]}}}
    write_table(decided, out, {"data_hash": data_hash(decided), **derived_from})
    write_text(render(decided.to_pylist()), markdown)
