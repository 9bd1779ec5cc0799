"""Generate the responses of one run to its benchmarks, once: everything later (grading, scoring, figures) reads these tables.

Expensive on real models, and therefore independent of the grader's code. One process samples all benchmarks, so that libraries,
sampler and weights are loaded once; each benchmark has its own table, whose rows are the samples of all selected checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from asymgrpo.study import outcome
from asymgrpo.study.agreement import require, selection_differences, stated
from asymgrpo.study.settings import Settings, loads, samples
from evals.checkpoints import SCHEMA, Checkpoints
from evals.cli import run
from evals.estimates.outcomes import outcome_of
from evals.io import DataError, provenance, read_json, sha256_file, write_table
from evals.sampled import Folder


def main(
    settings: Annotated[
        str,
        typer.Option(
            help="JSON or a file with it: all that the samples of a run depend on (asymgrpo.study.settings.sampled), or those "
            "of one benchmark (samples)"
        ),
    ],
    problems: Annotated[list[Path], typer.Option(help="problem table of each benchmark (Parquet)")],
    checkpoints: Annotated[Path, typer.Option(help="base model, or a run's folder of candidates")],
    out: Annotated[
        Path,
        typer.Option(
            help="list of the tables to write (JSON), which lie beside it; of one benchmark its table (Parquet)"
        ),
    ],
    selection: Annotated[Path | None, typer.Option(help="selected steps of the run (JSON); none for base")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
) -> None:
    """Sample the benchmarks that are missing from the selected checkpoints of one run."""
    import torch

    from asymgrpo.devices import own_device
    from asymgrpo.lean import arrow_alone, transformers_alone
    from asymgrpo.tasks.table import read_problems

    own_device()  # refuses here if it must
    transformers_alone()
    arrow_alone()
    asked = loads(settings)
    named = benchmarks_of(asked, problems)
    for name, path in named.items():
        require(
            stated(path), of_benchmark(asked, name)["problems"], path, "make it again: snakemake --forcerun problems"
        )
    torch.set_num_threads(threads)
    chosen = read_json(selection) if selection else []
    steps = steps_to_sample(asked, checkpoints, selection, chosen)
    about = describe(asked, named, whole_weights(steps, checkpoints), selection, chosen)
    folder = Folder(out, checkpoints, selection) if asked["of"] == "sampled" else None
    missing = folder.missing(about) if folder else list(named)
    rows = {name: read_problems(named[name], ("problem_id", "problem")) for name in missing}
    models = Checkpoints(steps, asked)
    for part in rows.values():
        models.check_lengths(part)
    for name, part in rows.items():
        found = pa.Table.from_pylist(models.sample(part, of_benchmark(asked, name)), SCHEMA)
        write_table(found, folder.table(name) if folder else out, provenance() | about[name])
    if folder:
        folder.write_list(asked, named)


def benchmarks_of(asked: Settings, problems: Sequence[Path]) -> dict[str, Path]:
    """Benchmark -> its problem table, by what the tables state of themselves; of one benchmark its only table.

    Raises:
        DataError: a benchmark has no table, or a table is of no benchmark.
    """
    if asked["of"] != "sampled":
        names, found = [asked["benchmark"]], [(asked["benchmark"], path) for path in problems]
    else:
        names, found = list(asked["benchmarks"]), [((stated(path) or {}).get("dataset"), path) for path in problems]
    if sorted(names) != sorted(str(name) for name, _ in found):
        given = ", ".join(f"{path} of {name or 'nobody knows what'}" for name, path in found)
        raise DataError(f"--problems: give one table of each of {', '.join(names)}; there is {given}")
    return {str(name): path for name, path in found}


def of_benchmark(asked: Settings, name: str) -> Settings:
    """Settings of the samples of one benchmark, out of those of all of a run."""
    return samples(asked, name) if asked["of"] == "sampled" else asked


def describe(
    asked: Settings,
    problems: Mapping[str, Path],
    weights: Mapping[str, Mapping[str, str]],
    selection: Path | None,
    chosen: Sequence[dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Benchmark -> what its table states: settings, and hashes of problems and `weights`; provenance comes on top."""
    ended = outcome_of(selection, chosen[0]) if selection and chosen else None
    run_of = {"model": asked["model"], "arm": asked["arm"], "train_seed": asked["seed"]}
    found = {}
    for name, path in problems.items():
        one = of_benchmark(asked, name)
        evaluation = {key: one["evaluation"][key] for key in ("temperature", "top_p", "max_tokens", "engine", "dtype")}
        found[name] = {
            "settings": one,
            "evaluation": {**evaluation, "n_samples": one["n_samples"], "template": one["template"]},
            "problems_sha256": sha256_file(path),
            "weights_sha256": weights,
        } | (run_of | outcome.stated(ended) if ended else {})
    return found


def steps_to_sample(
    asked: Settings, checkpoints: Path, selection: Path | None, chosen: Sequence[dict[str, Any]]
) -> dict[int, Path]:
    """Step -> folder of weights; the base model is step 0, and of a diverged run there is none. `chosen`: rows of `selection`.

    Raises:
        SettingsError: base model or run was made with other settings than those asked for.
        DataError: the selection is of other rules, or of another training of this run.
    """
    if selection is None:
        require(stated(checkpoints / "manifest.json"), asked["source"], checkpoints, "snakemake --forcerun base_model")
        return {0: checkpoints}
    done = checkpoints.parent / "done.json"
    require(stated(done), asked["source"], done, "train it again: snakemake --forcerun train")
    if found := selection_differences(chosen, asked["selection"], read_json(done).get("sha256")):
        raise DataError(
            f"{selection} is not what was asked for of the run in {done}: {'; '.join(found)}; select again: delete it and run "
            "snakemake"
        )
    return {step: checkpoints / f"step{step:06d}" for step in sorted({row["step"] for row in chosen} - {None})}


def whole_weights(steps: Mapping[int, Path], checkpoints: Path) -> dict[str, dict[str, str]]:
    """Step -> `weights_sha256` of its folder, whose files are those of its manifest, if it has one.

    Raises:
        ModelError: a file is missing or has changed since the base model was made, or the run kept the candidate.
    """
    from asymgrpo.models.load import check_whole

    found = {}
    for step, directory in steps.items():
        found[str(step)] = weights_sha256(directory)
        of_a_run = f"train its run again: delete {checkpoints.parent / 'done.json'} and run snakemake"
        check_whole(directory, found[str(step)], "" if directory == checkpoints else of_a_run)
    return found


def weights_sha256(directory: Path) -> dict[str, str]:
    """File name -> sha256 of the weights in a model directory."""
    return {path.name: sha256_file(path) for path in sorted(directory.glob("*.safetensors"))}


if __name__ == "__main__":
    run(main)
