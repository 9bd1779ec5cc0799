"""What the page's tables show: rows of text out of the results; no HTML here."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from evals.figures.table import FIGURES
from evals.io import read_json
from evals.names import TABLE_1, about, describe_rule, in_order, marked, title
from evals.repeatability.table import footnote
from evals.report.results import Results
from evals.tables import paper_values
from evals.tables.compare import difference_cells
from evals.tables.table1 import estimate_text, younger_text


@dataclass(frozen=True)
class Grid:
    """A table of text; the first column names its row. `numbers`: columns that are right-aligned (all but the first if None)."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    numbers: Sequence[int] | None = None
    folded: bool = False

    def is_number(self, column: int) -> bool:
        return column > 0 if self.numbers is None else column in self.numbers


@dataclass(frozen=True)
class Figure:
    title: str
    source: str
    """A data: URI."""
    caption: str = ""
    alt: str = field(default="")


def overview(results: Results) -> list[tuple[str, str]]:
    """(term, meaning) pairs about the study as a whole."""
    study, train = results.study, results.study["train"]
    seeds = {arm: _seeds_of(results, arm) for arm in results.arms}
    main = [arm for arm in results.arms if arm in study["study"]["arms"]]
    rest = [arm for arm in results.arms if arm not in main]
    pairs = [
        ("Study", f"{study['name']} (sha256 of the configuration {results.config_sha256[:12]}…)"),
        ("Runs", f"{len(results.finished)} finished of {results.planned} planned"),
        ("Diverged", "; ".join(f"{results.name(run)}: {run.diverged.reason}" for run in results.runs if run.diverged)),
        ("Models", ", ".join(f"{name} ({_model(study['models'][name])})" for name in results.models)),
        ("Arms of Table 1", ", ".join(f"{title(arm)} ({seeds[arm]})" for arm in main)),
        ("Arms of the analyses", ", ".join(f"{title(arm)} ({seeds[arm]})" for arm in rest)),
        (
            "Training",
            f"{train['steps']} steps of {train['prompts_per_step']} prompts × {train['group_size']} rollouts, "
            f"updates per step: {train['updates_per_rollout']}, learning rate {train['learning_rate']:g}, "
            f"temperature {train['temperature']:g}, at most {train['max_tokens']} tokens, {train['dtype']}",
        ),
        (
            "Evaluation",
            f"{', '.join(map(title, study['evaluation']['benchmarks']))}; samples per problem: "
            f"{_samples(study['evaluation'])}; temperature {study['evaluation']['temperature']:g}; "
            f"checkpoints: {'; '.join(map(describe_rule, study['evaluation']['selection']))}",
        ),
    ]
    return [(term, meaning) for term, meaning in pairs if meaning]


def _model(model: Mapping[str, Any]) -> str:
    return model.get("hub_id") or {"tiny": "trained by the workflow", "gguf": "from a Python package"}.get(
        model["kind"], model["kind"]
    )


def _seeds(n: int) -> str:
    return f"{n} seed" + ("s" if n != 1 else "")


def _seeds_of(results: Results, arm: str) -> str:
    runs = results.of_arm(arm)
    lost = sum(run.diverged is not None for run in runs)
    return _seeds(len(runs)) + (f", {lost} diverged" if lost else "")


def _samples(evaluation: Mapping[str, Any]) -> str:
    found = [f"{n}" if name == "default" else f"{name} {n}" for name, n in evaluation["samples"].items()]
    base = evaluation.get("base_samples")
    return ", ".join(found + ([f"base model {base}"] if base else []))


def conventions(results: Results) -> list[Grid]:
    """What each arm is: its differences from GRPO, then every convention; those that all arms share once."""
    said = {arm: results.of_arm(arm)[0].conventions["arm"] for arm in results.arms}
    rows = []
    for arm, what in said.items():
        differs = "; ".join(f"{key}: {short(d['arm'])}" for key, d in what["differs_from_grpo"].items())
        rows.append([title(arm), about(what) or "–", differs or "–"])
    meanings = {arm: what["meaning"] for arm, what in said.items()}
    keys = list(dict.fromkeys(key for meaning in meanings.values() for key in meaning))
    shared = [key for key in keys if len({short(m.get(key, "–")) for m in meanings.values()}) == 1]
    first = next(iter(meanings.values()))
    own = [key for key in keys if key not in shared]
    return [
        Grid("Arms", ["arm", "what it is", "differs from GRPO in"], rows, numbers=()),
        Grid(
            "Conventions that differ between arms",
            ["arm", *(key.replace("_", " ") for key in own)],
            [[title(arm), *(short(m.get(key, "–")) for key in own)] for arm, m in meanings.items()],
            numbers=(),
            folded=True,
        ),
        Grid(
            "Conventions that all arms share",
            ["convention", "meaning"],
            [[key.replace("_", " "), short(first[key])] for key in shared],
            numbers=(),
            folded=True,
        ),
    ]


def table_1(results: Results) -> list[Grid]:
    """avg@n by arm and benchmark for each model and selection rule; every pass@k folded below it."""
    grids = []
    for model, where, mine in _parts(results, "table1"):
        cutoff = results.cutoffs.get(model)
        main = _scores(mine[mine["metric"] == "avg_at_n"], f"avg@n in per cent, {where}", cutoff, folded=False)
        grids.append(replace(main, note=" ".join(filter(None, [main.note.strip(), noise(results, model)]))))
        for (metric, k), part in mine[mine["metric"] != "avg_at_n"].groupby(["metric", "k"]):
            name = str(metric).replace("_at_k", f"@{k:.0f}")
            grids.append(_scores(part, f"{name} in per cent, {where}", cutoff, folded=True))
    return grids


def noise(results: Results, model: str) -> str:
    """The footnote on the harness's own noise; nothing where it was not measured (snakemake repeatability)."""
    table = results.table("repeatability")
    return footnote([row for row in table.to_pylist() if row["model"] == model]) if table else ""


def analyses(results: Results) -> list[Grid]:
    """avg@n of every arm, those of the analyses included."""
    grids = []
    for model, where, mine in _parts(results, "analyses"):
        heading = f"avg@n in per cent with the arms of the analyses, {where}"
        mine = mine[mine["metric"] == "avg_at_n"]
        grids.append(_scores(mine, heading, results.cutoffs.get(model), folded=True))
    return grids


def _parts(results: Results, name: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(model, model and selection rule in words, their rows) of a table, if there is one: the paper's kind of rule first."""
    if (table := results.table(name)) is None:
        return
    frame = table.to_pandas()
    pairs = set(zip(frame["model"], frame["selection"], strict=True))
    for model, rule in sorted(pairs, key=lambda pair: (pair[0], not pair[1].startswith("best_on:"), pair[1])):
        rows = frame[(frame["model"] == model) & (frame["selection"] == rule)]
        yield model, f"{model}, checkpoint: {describe_rule(rule)}", rows


def _scores(frame: pd.DataFrame, heading: str, cutoff: str | None, folded: bool) -> Grid:
    benchmarks = in_order(frame["benchmark"], paper_values.BENCHMARKS)
    cells: dict[tuple[str, str], Any] = {(row.arm, row.benchmark): row for row in _tuples(frame)}
    rows = []
    for arm in in_order(frame["arm"], TABLE_1):
        found = [cells.get((arm, name)) for name in benchmarks]
        seeds = {int(row.n_seeds) for row in found if row is not None}
        rows.append([title(arm), ", ".join(map(str, sorted(seeds))), *map(_score, found)])
    note = younger_text(benchmarks, cutoff)
    return Grid(heading, ["arm", "seeds", *marked(benchmarks, cutoff)], rows, note, folded=folded)


def _score(row: Any) -> str:
    if row is None:
        return "–"
    theirs = getattr(row, "paper_value", None)
    paper = "" if pd.isna(theirs) else f" (paper {100 * theirs:.1f})"
    return estimate_text(row) + paper


def differences(results: Results) -> list[Grid]:
    """Paired differences between arms in percentage points of avg@n, one table per model and selection rule."""
    grids = []
    for _, where, mine in _parts(results, "differences"):
        rows = [
            [
                f"{title(row.a)} − {title(row.b)}",
                title(row.benchmark),
                *difference_cells(row._asdict()),
            ]
            for row in _tuples(mine[mine["metric"] == "avg_at_n"])
        ]
        heading = f"Paired differences of avg@n in percentage points, {where}"
        head = ["A − B", "benchmark", "points [95 %]", "p", "p (Holm)"]
        grids.append(Grid(heading, head, rows, numbers=(2, 3, 4), folded=True))
    return grids


def _tuples(frame: pd.DataFrame) -> Iterable[Any]:
    return frame.itertuples(index=False)


@dataclass(frozen=True)
class ClaimRow:
    claim: str
    section: str
    test: str
    """How it was tested, where that is not what the note below the table says."""
    estimate: str
    margin: str
    n_seeds: str
    verdict: str
    sentence: str
    protocol: str

    @property
    def kind(self) -> str:
        """The verdict as a CSS class."""
        return self.verdict.split(" and ")[0].replace(" ", "-")


def claims(results: Results) -> dict[str, tuple[str, list[ClaimRow], str]]:
    """model -> (how many of each verdict, one row per claim, how to read it); empty without claims.parquet."""
    table = results.table("claims")
    if table is None:
        return {}
    rows = table.to_pylist()
    by_model = {
        model: [row for row in rows if row["model"] == model] for model in dict.fromkeys(r["model"] for r in rows)
    }
    return {model: _of_model(mine) for model, mine in by_model.items()}


def _of_model(rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[ClaimRow], str]:
    from evals.claims.words import summary
    from evals.report.claim_notes import how_to_read

    usual, told = _tests(rows)
    return summary(rows), [_claim(row, usual) for row in rows], f"{how_to_read(rows)} {told}".rstrip()


def _tests(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The test that most claims have, and a sentence that says so once for all of them.

    >>> _tests([{"test": "t test"}, {"test": "t test"}, {"test": None}, {"test": "t test, paired"}])
    ('t test', 'Test, unless a claim says another: t test.')
    >>> _tests([{"test": "t test"}, {"test": None}]), _tests([{"test": None}])
    (('t test', 'Test: t test.'), ('', ''))
    """
    counts = Counter(row["test"] for row in rows if row["test"])
    if not counts:
        return "", ""
    usual = counts.most_common(1)[0][0]
    return usual, f"Test{', unless a claim says another' if len(counts) > 1 else ''}: {usual}."


def _claim(row: Mapping[str, Any], usual: str) -> ClaimRow:
    from evals.claims.words import estimate_text, margin_text, protocol_text, verdict_text

    return ClaimRow(
        claim=f"{row['claim']} ({row['reading']})" if row.get("reading") else row["claim"],
        section=", ".join(filter(None, [row["version"], row["section"]])),
        test="" if row["test"] == usual else row["test"] or "",
        estimate=estimate_text(row) or row["why_not"] or "–",
        margin=margin_text(row) or "–",
        n_seeds=str(row["n_seeds"] or "–"),
        verdict=verdict_text(row),
        sentence=row["sentence"] or "",
        protocol=protocol_text(row),
    )


def contamination(results: Results) -> list[Grid]:
    table = results.table("contamination")
    if table is None:
        return []
    frame = table.to_pandas()
    rows = [
        [title(str(name)), str(int(part["exact"].sum())), str(int(part["normalised"].sum())), str(len(part))]
        for name, part in frame.groupby("benchmark")
    ]
    head = ["benchmark", "same text", "same after normalising", "all pairs found similar"]
    heading = "Training problems that resemble a benchmark's"
    return [Grid(heading, head, rows or [["none found", "0", "0", "0"]], folded=True)]


def figures(results: Results) -> list[Figure]:
    """Every picture of the results, as PNG within the page: same pixels everywhere, whatever fonts a machine has."""
    found = []
    for path in sorted((results.folder / "figures").glob("*.png")):
        sidecar = path.with_suffix(".json")
        notes = read_json(sidecar) if sidecar.exists() else {}
        title = FIGURES[path.stem].heading if path.stem in FIGURES else path.stem.replace("_", " ").capitalize()
        picture = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        caption = " ".join(notes[key] for key in ("finding", "caption", "diverged") if notes.get(key))
        found.append(Figure(title, picture, caption, f"Figure: {title}. {caption}".strip()))
    return found


def environment(results: Results) -> list[Grid]:
    """What made the runs: each value that occurs, and in how many runs."""
    about = [{**run.done, "machine": run.machine} for run in results.runs]
    rows = []
    for key in ("git_commit", "git_dirty", "python", "machine", "model_sha256", "data_sha256", "locks"):
        values = [short(one.get(key)) for one in about if one.get(key) not in (None, {}, [])]
        for value in dict.fromkeys(values):
            rows.append([key.replace("_", " "), value, f"{values.count(value)} of {len(about)}"])
    packages = [one.get("packages") or {} for one in about]
    for name in sorted({name for one in packages for name in one}):
        values = [str(one.get(name) or "not installed") for one in packages]
        rows += [[name, value, f"{values.count(value)} of {len(about)}"] for value in dict.fromkeys(values)]
    grids = [Grid("What made the training runs", ["what", "value", "runs"], rows, numbers=(2,))]
    proofs = sorted((results.folder / "proofs").glob("*.json"))
    written = [[path.stem, short(read_json(path))] for path in proofs]
    return [
        *grids,
        *([Grid("Images, as seen from inside", ["image", "proof"], written, numbers=())] if written else []),
    ]


def short(value: Any) -> str:
    """A value on one line.

    >>> short({"beta_pos": 0.9, "estimator": "asymmetric"}), short([1, 2]), short(None), short(True)
    ('beta_pos 0.9, estimator asymmetric', '1, 2', 'none', 'yes')
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {short(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(short, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def configuration(results: Results) -> str:
    """The whole configuration, as it was resolved."""
    return json.dumps(results.study, indent=1, sort_keys=True)
