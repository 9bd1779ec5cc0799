"""From a number in Table 1 back to what it was made of, checking every hash on the way.

    python -m evals.artifacts.trace results-study/table1.parquet --arm asymgrpo --benchmark chain4 --metric pass_at_k --k 8
    python -m evals.artifacts.trace artifacts/study.zip --arm grpo --benchmark average --metric avg_at_n

table -> scores -> counts -> graded samples of every training seed -> samples -> checkpoint -> training run -> configuration,
data, commit. A bundle has no tables, samples and weights: there the number is computed from the verdicts, and the manifest
checks the files.
Exit code 1 when something does not fit (the last lines name it), 2 when the number that was asked for is not there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from asymgrpo.content import data_hash
from asymgrpo.study.agreement import require_within
from asymgrpo.study.layout import CONFIGURATION, COUNTS
from asymgrpo.study.settings import Settings, SettingsError, plan_of
from evals.artifacts.bundle_files import MANIFEST, is_bundle
from evals.artifacts.compare_results import opened
from evals.artifacts.trace_run import BASE, Findings, check_run, check_samples
from evals.cli import run
from evals.estimates.cells import Counts, averaged, check_ks, count_cells, counting_elsewhere, read_graded
from evals.estimates.selection import lost_of, read_selection, select
from evals.io import DataError, read_json, read_metadata, read_object, read_table
from evals.tables.result_set import problems_of
from evals.tables.score import AVERAGE
from evals.tables.shared import Elsewhere, counted_elsewhere, keys_of

METRICS = ("avg_at_n", "pass_at_k", "maj_at_k")
COLUMNS = ("arm", "benchmark", "metric", "k", "selection", "model")
FIELDS = ("estimate", "ci_low", "ci_high", "n_problems", "n_samples", "n_seeds")
ZIP = b"PK"
"""The first bytes of a zip file, whole or cut."""
TOLERANCE = 1e-12
"""Between a stored estimate and the one computed again: sums in another order."""


def find_row(table: pa.Table, path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The one row with the wanted values (None: whatever there is, if there is one).

    Raises:
        DataError: no row, or several, fit.
    """
    given = {key: value for key, value in wanted.items() if value is not None}
    if wanted["metric"] == "avg_at_n":
        given.pop("k", None)
    for key, value in given.items():
        choose(key, value, table[key].unique().to_pylist(), str(path))
    rows = [row for row in table.to_pylist() if all(row[key] == value for key, value in given.items())]
    told = ", ".join(f"{key} {value}" for key, value in given.items())
    if not rows:
        raise DataError(f"{path}: no row with {told}; choose from {_choices(table)}")
    if len(rows) > 1:
        differs = [key for key in wanted if len({row[key] for row in rows}) > 1]
        raise DataError(f"{path}: {len(rows)} rows with {told}; say which with --{' and --'.join(differs)}")
    return rows[0]


def choose(key: str, value: Any, known: Sequence[Any], place: str) -> None:
    """Raise DataError, naming the known ones, unless `value` is one of them."""
    if value not in known:
        listed = ", ".join(map(str, sorted(set(known) - {None}))) or "none at all"
        raise DataError(f"{place}: no row with {key} {value}; --{key} can be {listed}")


def _choices(table: pa.Table) -> str:
    return "; ".join(f"{name}: {', '.join(map(str, table[name].unique().to_pylist()))}" for name in COLUMNS)


def check_tables(findings: Findings, path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The row of Table 1, after it was compared with scores.parquet beside it."""
    table, scores_path = read_table(path), path.parent / "scores.parquet"
    read_table(path, (*COLUMNS, *FIELDS))
    read_table(scores_path, (*COLUMNS, *FIELDS))
    row, about = find_row(table, path, wanted), read_metadata(path)
    for file, told in ((path, about), (scores_path, read_metadata(scores_path))):
        if not {"data_hash", "inputs"} <= told.keys():
            raise DataError(
                f"{file}: it does not say what it was made from; make it again with this version (snakemake tables)"
            )
    number = "no estimate, every run diverged"
    if row["estimate"] is not None:
        number = f"{row['estimate']:.6f} [{row['ci_low']:.4f}, {row['ci_high']:.4f}]"
    findings.say(0, f"{row['arm']}, {row['benchmark']}, {row['metric']}, k = {row['k']}: {number}")
    findings.say(0, f"  checkpoint rule {row['selection']}, model {row['model']}, {row['n_seeds']} training seeds")
    findings.check(
        1, data_hash(table) == about["data_hash"], f"{path.name}: its values have the hash that it states", path
    )
    study = path.parent / CONFIGURATION
    if "settings" in about and study.exists():
        digest = read_json(study)["config_sha256"]
        findings.check(2, _is_within(about["settings"], path), f"made for configuration {digest[:12]}", study)
    scores, told = read_table(scores_path), read_metadata(scores_path)
    findings.check(
        1,
        data_hash(scores) == told["data_hash"],
        "scores.parquet: its values have the hash that it states",
        scores_path,
    )
    of_table = about["inputs"]["scores"]["data_hash"]
    findings.check(2, of_table == told["data_hash"], f"{path.name} was made from these scores", scores_path)
    same_row = find_row(scores, scores_path, {key: row[key] for key in wanted})
    findings.check(2, all(row[key] == same_row[key] for key in FIELDS), "they hold the same row", scores_path)
    findings.inputs = check_counts(findings, path.parent / COUNTS.format(part="main"), told["inputs"])
    return row


def check_counts(findings: Findings, path: Path, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The graded files that scores with these inputs were made from: directly, by hand, or by way of the study's counts."""
    if path.name not in inputs:
        return inputs
    counts, about = read_table(path), read_metadata(path)
    findings.check(
        1, data_hash(counts) == about["data_hash"], "counts: their values have the hash that they state", path
    )
    same = inputs[path.name]["data_hash"] == about["data_hash"]
    findings.check(2, same, "the scores were made from these counts", path)
    return about["inputs"]


def _is_within(stated: Settings, table: Path) -> bool:
    """Whether a table's settings are those of the configuration beside it."""
    from asymgrpo.study.stored import study_of_results

    try:
        require_within(stated, plan_of(study_of_results(table.parent)), table)
    except SettingsError:
        return False
    return True


def check_number(findings: Findings, folder: Path, row: dict[str, Any], files: list[Path]) -> list[dict[str, Any]]:
    """Compute the number again from the graded samples; returns model, arm, train_seed, step of the checkpoints behind it."""
    seeds = [int(path.stem.removeprefix("seed")) for path in files]
    if row["arm"] == BASE:
        chosen = read_selection(sorted(folder.glob("runs/*/*/*/selection.json"))[:1])
        steps = [{"arm": BASE, "train_seed": seed, "step": 0} for seed in seeds]
    else:
        chosen = read_selection(
            [folder / f"runs/{row['model']}/{row['arm']}/seed{seed}/selection.json" for seed in seeds]
        )
        rules = sorted({item.selection for item in chosen})
        if row["selection"] not in rules:
            raise DataError(f"{folder}: no selection {row['selection']!r}; there is {', '.join(rules)}")
        chosen = [item for item in chosen if item.selection == row["selection"]]
        steps = [item._asdict() for item in chosen if item.diverged_at is None]
        lost = lost_of(chosen).get((row["model"], row["arm"]), {})
        for seed, step in sorted(lost.items()):
            findings.say(1, f"- seed {seed} diverged at step {step}: it is in no estimate")
        if lost or row.get("n_diverged"):
            same = row.get("n_diverged", len(lost)) == len(lost)
            findings.check(1, same, f"{len(lost)} of {len(seeds)} training seeds diverged", files[0].parent)
        if not steps:
            return []
    graded = read_graded(files)
    samples = graded if row["arm"] == BASE else select(graded, chosen)[row["selection"]]
    k = None if row["metric"] == "avg_at_n" else row["k"]
    elsewhere = counted_elsewhere(keys_of(problems_of(folder)))
    values = [item.metric(row["metric"], k) for item in counts_of(samples, row, files[0].parent, elsewhere)]
    estimate = float(np.mean([block.mean() for block in values]))
    if row.get("estimate") is None:
        row["estimate"] = estimate
        findings.say(0, f"{row['arm']}, {row['benchmark']}, {row['metric']}, k = {k}: {estimate:.6f}")
        findings.say(0, f"  checkpoint rule {row['selection']}, model {row['model']}, {len(steps)} training seeds")
    fits = abs(estimate - row["estimate"]) <= TOLERANCE and row.get("n_seeds", len(steps)) == len(steps)
    findings.check(1, fits, f"computed again from {len(files)} graded files: {estimate:.6f}", files[0].parent)
    return steps


def check_graded(findings: Findings, folder: Path, path: Path) -> None:
    """A graded file against its own hash, or the manifest where it is reduced, and against what the scores were made from."""
    about, name = read_metadata(path), str(path.relative_to(folder))
    if findings.manifest:
        findings.check(1, True, f"{name}: reduced, checked by the manifest", path)
    else:
        same = data_hash(read_table(path)) == about["data_hash"]
        findings.check(1, same, f"{name}: its values have the hash that it states, {about['data_hash'][:12]}", path)
    if findings.inputs is not None:
        stated = [meta["data_hash"] for key, meta in findings.inputs.items() if f"/{name}".endswith(f"/{key}")]
        findings.check(2, stated == [about["data_hash"]], "the scores were made from it", path)
    findings.commits(about, name)


def trace(folder: Path, table: Path | None, wanted: dict[str, Any]) -> Findings:
    """Walk from a number to its origin.

    Args:
        folder: results, or an unpacked bundle. table: Table 1, None to start at the graded samples. wanted: arm, benchmark,
        metric, k, selection and model of the number.

    Raises:
        DataError: the number is not there, or a file is missing or unreadable.
    """
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else None
    findings = Findings(manifest["files"] if manifest else None)
    findings.check_manifest(folder)
    row = check_tables(findings, table, wanted) if table else _from_verdicts(folder, wanted)
    files = sorted((folder / "graded" / row["model"] / row["arm"]).glob("seed*.parquet"))
    if not files:
        raise DataError(f"{folder}/graded/{row['model']}/{row['arm']}: no graded samples; name an arm that was run")
    steps = {step["train_seed"]: step["step"] for step in check_number(findings, folder, row, files)}
    for path in files:
        seed = int(path.stem.removeprefix("seed"))
        findings.say(0, "")
        check_graded(findings, folder, path)
        if seed not in steps:  # diverged
            continue
        benchmarks = None if row["benchmark"] == AVERAGE else [row["benchmark"]]
        check_samples(findings, folder, path, steps[seed], benchmarks)
        if row["arm"] != BASE:
            check_run(findings, folder, row["model"], row["arm"], seed, steps[seed], row["selection"])
    return findings


def _from_verdicts(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """A row without its number, for a set without tables; what was not told is taken where there is one choice.

    Raises:
        DataError: there are several choices.
    """
    place = folder / CONFIGURATION
    config = read_object(place, ["config"])["config"]
    row = dict(wanted)
    for key, choices in (("model", config["study"]["models"]), ("selection", config["evaluation"]["selection"])):
        if row[key] is None and len(choices) > 1:
            raise DataError(f"several values of {key}: say which with --{key} {' or '.join(choices)}")
        row[key] = row[key] or choices[0]
        choose(key, row[key], choices, str(place))
    graded = folder / "graded" / row["model"]
    choose("arm", row["arm"], [path.name for path in graded.glob("*") if any(path.glob("seed*.parquet"))], str(graded))
    choose("metric", row["metric"], METRICS, str(place))
    if row["metric"] != "avg_at_n":
        if row["k"] is None:
            raise DataError(f"{row['metric']} needs --k")
        check_ks([row["k"]])
    return row


def counts_of(samples: pa.Table, row: Mapping[str, Any], place: Path, elsewhere: Elsewhere) -> list[Counts]:
    """The counts that a row's number is of: of one benchmark, or of all for the average, in which a problem counts once.

    Raises:
        DataError: the benchmark is unknown there, or has fewer samples than the row's k.
    """
    counts = counting_elsewhere(count_cells(samples, votes=row["metric"] == "maj_at_k"), elsewhere)
    by_name = {key[2]: item for key, item in counts.items()}
    choose("benchmark", row["benchmark"], [*by_name, *([AVERAGE] if len(by_name) > 1 else [])], str(place))
    chosen = list(by_name.values()) if row["benchmark"] == AVERAGE else [by_name[row["benchmark"]]]
    if row["metric"] != "avg_at_n":
        smallest = min(int(item.n.min()) for item in chosen)
        if row["k"] > smallest:
            raise DataError(
                f"{place}: {smallest} samples per problem cannot serve --k {row['k']}; give at most {smallest}"
            )
    return averaged(chosen)


def need_table_or_bundle(source: str) -> None:
    """Raises DataError for a file that is neither: a page with the same numbers, for one."""
    path = Path(source.partition("#sha256=")[0])
    if path.is_file() and path.suffix != ".parquet":
        with path.open("rb") as file:
            if file.read(len(ZIP)) != ZIP:
                raise DataError(
                    f"{path}: no Parquet table and no bundle; a number is traced from table1.parquet in a folder of results, or "
                    "from a bundle (zip file or folder)"
                )


def main(
    source: Annotated[str, typer.Argument(help="table1.parquet in a study's folder of results, or a bundle")],
    arm: Annotated[str, typer.Option(help="arm of the number, or base")],
    benchmark: Annotated[str, typer.Option(help="benchmark, or average")],
    metric: Annotated[str, typer.Option(help="avg_at_n, pass_at_k or maj_at_k")],
    k: Annotated[int | None, typer.Option(help="k of pass@k or maj@k")] = None,
    selection: Annotated[str | None, typer.Option(help="checkpoint rule; needed if the study has several")] = None,
    model: Annotated[str | None, typer.Option(help="model; needed if the study has several")] = None,
) -> None:
    """Trace a number of Table 1 to its origin."""
    wanted = {"arm": arm, "benchmark": benchmark, "metric": metric, "k": k, "selection": selection, "model": model}
    need_table_or_bundle(source)
    with ExitStack() as stack:
        if is_bundle(source) and not source.endswith(".parquet"):
            findings = trace(stack.enter_context(opened(source)), None, wanted)
        else:
            findings = trace(Path(source).parent, Path(source), wanted)
    typer.echo("\n".join(findings.lines))
    typer.echo("\n" + findings.summary())
    sys.exit(1 if findings.faults else 0)


if __name__ == "__main__":
    run(main)
