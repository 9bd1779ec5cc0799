"""Grade stored samples, or grade them again after a change of the verifier: no generation, no GPU.

    python -m evals.grade --samples S.parquet ... --problems P.parquet ... --out graded.parquet

With `--previous graded.parquet` the verdicts that changed are listed. What a response that was cut is worth is the rule of
asymgrpo.verifier.grade, as in training.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from asymgrpo.content import data_hash
from asymgrpo.study.agreement import require
from asymgrpo.study.outcome import stated
from asymgrpo.study.settings import Settings, loads
from asymgrpo.study.settings import samples as samples_settings
from evals.cli import run
from evals.estimates.outcomes import RUN, outcome_of
from evals.io import (
    DataError,
    check_table,
    provenance,
    read_metadata,
    read_table,
    read_tables,
    sha256_file,
    write_table,
)
from evals.sampled import require_listed

KEY = ("model", "arm", "train_seed", "step", "benchmark", "problem_id", "sample_id")
FINISH_REASONS = {"stop", "length"}


def reference_answers(problems: Iterable[str | Path]) -> dict[str, str]:
    """problem_id -> answer over all problem tables.

    Raises:
        DataError: one id has two answers, or an answer is empty.
    """
    from asymgrpo.tasks.table import read_problems

    known: dict[str, str] = {}
    for path in problems:
        for row in read_problems(path, ("problem_id", "answer")):
            name, answer = row["problem_id"], row["answer"]
            if known.setdefault(name, answer) != answer:
                raise DataError(f"{path}: problem {name} has two answers, {known[name]!r} and {answer!r}")
    return known


def check_samples(table: pa.Table, path: Path) -> None:
    """Raise DataError unless this is a whole sample table. (A bundle keeps few texts: it cannot be graded again.)"""
    from evals.checkpoints import SCHEMA

    check_table(table, path, SCHEMA, nullable=["logprob_sum"])
    odd = sorted(set(table["finish_reason"].unique().to_pylist()) - FINISH_REASONS)
    if odd:
        raise DataError(f"{path}: finish_reason {odd[0]!r} is neither stop nor length; sample again with evals.sample")


def grade_samples(samples: pa.Table, reference_answers: dict[str, str], workers: int) -> pa.Table:
    """The sample table with answer, extracted, verdict, correct and second_correct.

    Args:
        samples: one row per sample. reference_answers: problem_id -> answer. workers: verifier processes.

    Raises:
        DataError: a sample names a problem that has no reference answer.
    """
    from asymgrpo.verifier import Verdict, extract_boxed, grade_many, second_grade, was_cut

    names = samples["problem_id"].to_pylist()
    unknown = sorted(set(names) - reference_answers.keys())
    if unknown:
        raise DataError(
            f"no reference answer for problem {unknown[0]} (and {len(unknown) - 1} more); "
            "add the table that holds it to --problems"
        )
    answers = [reference_answers[name] for name in names]
    responses = samples["response"].to_pylist()
    cut = [was_cut(reason) for reason in samples["finish_reason"].to_pylist()]
    asked = list(zip(responses, answers, cut, strict=True))
    verdicts = grade_many(asked, workers=workers)
    extracted = [extract_boxed(response) or "" for response in responses]
    second = [second_grade(*one) for one in asked]
    columns = {
        "answer": pa.array(answers, pa.string()),
        "extracted": pa.array(extracted, pa.string()),
        "verdict": pa.array([verdict.value for verdict in verdicts], pa.string()),
        "correct": pa.array([verdict is Verdict.correct for verdict in verdicts], pa.bool_()),
        "second_correct": pa.array(second, pa.bool_()),
    }
    graded = samples.select([name for name in samples.column_names if name not in columns])
    for name, values in columns.items():
        graded = graded.append_column(name, values)
    return graded


def changed_verdicts(previous: pa.Table, current: pa.Table) -> pa.Table:
    """Samples whose verdict differs: the key, extracted, answer, verdict_before and verdict_after.

    Samples present in only one of the tables are left out.

    Raises:
        DataError: a table holds a sample twice.
    """
    for name, table in (("previous", previous), ("current", current)):
        if table.select(KEY).group_by(KEY).aggregate([]).num_rows != table.num_rows:
            raise DataError(f"the {name} graded table holds the same sample twice; pass each sample file once")
    before = previous.select([*KEY, "verdict"]).rename_columns([*KEY, "verdict_before"])
    after = current.select([*KEY, "extracted", "answer", "verdict"])
    joined = after.join(before, keys=list(KEY), join_type="inner")
    joined = joined.rename_columns(["verdict_after" if name == "verdict" else name for name in joined.column_names])
    differs = pc.not_equal(joined["verdict_before"], joined["verdict_after"])
    return joined.filter(differs).sort_by([(name, "ascending") for name in KEY])


def _describe_changes(changes: pa.Table, total: int) -> str:
    lines = [f"{changes.num_rows} of {total} verdicts changed"]
    for row in changes.to_pylist():
        where = f"{row['model']} {row['arm']} {row['benchmark']} {row['problem_id']} sample {row['sample_id']}"
        lines.append(
            f"  {where}: {row['verdict_before']} -> {row['verdict_after']}"
            f"  (answer {row['extracted']!r}, reference answer {row['answer']!r})"
        )
    return "\n".join(lines)


def refuse_other_samples(
    described: Mapping[Path, Mapping[str, Any]], problems: Iterable[Path], asked: Settings | None
) -> None:
    """Compare what sample files state of themselves with the problems at hand and, if there are any, with the settings asked for.

    Args:
        described: file -> its metadata. problems: problem tables. asked: asymgrpo.study.settings.graded of the run.

    Raises:
        SettingsError: samples were drawn with other settings.
        DataError: samples were drawn for other problems than those of the same benchmark here.
    """
    hashes = {sha256_file(path) for path in problems}
    for path, told in described.items():
        if asked is not None and (stated := told.get("settings")) is not None:
            if stated["of"] == "graded":  # graded before, to be graded again
                require(stated, asked, path)
                continue
            name = stated["benchmark"]
            if name not in asked["benchmarks"]:
                raise DataError(f"{path}: samples of {name}, which was not asked for; leave it out")
            require(stated, samples_settings(asked, name), path, "sample again: snakemake --forcerun sample")
        if told.get("problems_sha256", None) not in {None, *hashes}:
            raise DataError(f"{path}: sampled from other problems than any of --problems; sample it again")


def main(
    samples: Annotated[list[Path], typer.Option(help="sample tables (Parquet), or graded ones to grade again")],
    problems: Annotated[list[Path], typer.Option(help="problem tables (Parquet) with the reference answers")],
    out: Annotated[Path, typer.Option(help="graded table to write (Parquet)")],
    listed: Annotated[
        Path | None,
        typer.Option(help="list of the sample tables (JSON), whose sums must be theirs; by hand it may be left out"),
    ] = None,
    workers: Annotated[int, typer.Option(help="verifier processes")] = 1,
    settings: Annotated[
        str | None,
        typer.Option(help="JSON or a file with it: what the samples must state (asymgrpo.study.settings.graded)"),
    ] = None,
    previous: Annotated[Path | None, typer.Option(help="earlier graded table to compare the verdicts with")] = None,
    changes: Annotated[Path | None, typer.Option(help="where to write the changed verdicts (Parquet)")] = None,
) -> None:
    """Grade samples with the shared verifier."""
    from asymgrpo.verifier import VERIFIER_VERSION

    asked = None if settings is None else loads(settings)
    described = [read_metadata(path) for path in samples]
    if listed:
        require_listed(listed, samples)
    refuse_other_samples(dict(zip(samples, described, strict=True)), problems, asked)
    earlier = read_table(previous) if previous else None  # before writing: it may be the same file
    for path in samples:
        check_samples(read_table(path), path)
    table = read_tables(samples)
    if table.select(KEY).group_by(KEY).aggregate([]).num_rows != table.num_rows:
        raise DataError(f"{samples[0]} and others hold the same sample twice; pass each sample file once")
    graded = grade_samples(table, reference_answers(problems), workers)
    about = read_metadata(samples[0])
    ended = outcome_of(samples[0], about)
    if ended and graded.num_rows:
        raise DataError(f"{samples[0]}: its run diverged, but there are samples beside it; give the files of one run")
    metadata: dict[str, Any] = {
        "samples": [{key: value for key, value in told.items() if key != "settings"} for told in described],
        "verifier_version": VERIFIER_VERSION,
        "data_hash": data_hash(graded),
        **provenance(),
    } | ({} if asked is None else {"settings": asked})
    if ended:
        metadata |= {key: about[key] for key in RUN} | stated(ended)
    write_table(graded, out, metadata)
    if earlier is not None:
        difference = changed_verdicts(earlier, graded)
        typer.echo(_describe_changes(difference, graded.num_rows))
        if changes:
            write_table(difference, changes, {"previous": str(previous), "current": str(out)})


if __name__ == "__main__":
    run(main, frames=False)
