"""How each table is made: its command, once for both ways to run it. The rules of workflow/rules/tables.smk run one command a
job; out of a bundle, where all inputs are there at once, several run in one process (evals.together)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from asymgrpo.study.config import Study
from asymgrpo.study.layout import Layout, trained_runs
from asymgrpo.study.settings import Settings
from workflow import common
from workflow.given import GivenSettings


@dataclass(frozen=True)
class Made:
    """How files are made.

    command: the module and its options, as after `python -m`. outputs: the files. settings, lists: files that the command names,
    to be written before it starts (workflow.given).
    """

    command: str
    outputs: list[str]
    settings: list[str]
    lists: list[str] = field(default_factory=list)


def together(stages: Sequence[Sequence[Sequence[Made]]]) -> Made:
    """All of these by one call of evals.together: the chains of a stage side by side, the links of a chain one after the other.

    >>> together([[[Made("a --out x", ["x"], ["s"]), Made("b", ["y"], [], ["l"])], [Made("c", ["z"], ["s"])]]])
    Made(command='a --out x + b // c', outputs=['x', 'y', 'z'], settings=['s'], lists=['l'])
    """
    chains = [[" + ".join(made.command for made in chain) for chain in stage] for stage in stages]
    command = " ++ ".join(" // ".join(stage) for stage in chains)
    several = [made for stage in stages for chain in stage for made in chain]
    return Made(
        command,
        [path for made in several for path in made.outputs],
        list(dict.fromkeys(path for made in several for path in made.settings)),
        list(dict.fromkeys(path for made in several for path in made.lists)),
    )


def conventions(layout: Layout, study: Study) -> list[str]:
    """Conventions of one run of each model and arm, which say what the arm is."""
    first = {(run["model"], run["arm"]): run for run in reversed(trained_runs(study))}
    return [layout.conventions.format(**run) for run in first.values()]


class Tables:
    """The tables of a study. `settings`: path of each table -> what it depends on (workflow.common.tables)."""

    def __init__(self, study: Study, layout: Layout, settings: Mapping[str, Settings], given: GivenSettings):
        self.study, self.layout, self.settings, self.given = study, layout, settings, given
        self.made_of = common.made_of(study)
        evaluation = study.evaluation
        self.k = f"--k {' '.join(map(str, evaluation.k))}"
        self.draws = f"--draws {evaluation.bootstrap_draws} --seed {evaluation.bootstrap_seed}"
        self.intervals = f"{self.k} --seed-variance {evaluation.seed_variance} {self.draws}"

    def path(self, table: str, ending: str = "parquet") -> str:
        return f"{self.layout.root}/{table}.{ending}"

    def counts(self, part: str) -> Made:
        files = [found(self.layout, self.study, part) for found in (common.graded_files, common.selections)]
        graded, selection = lists = [self.given.list(paths) for paths in files]
        problems = [self.layout.problems.format(dataset=name) for name in self.study.evaluation.benchmarks]
        inputs = (
            f"--graded @{shlex.quote(graded)} --selection @{shlex.quote(selection)} --problems {shlex.join(problems)}"
        )
        return self._made("counts", inputs, [self.layout.counts.format(part=part)], lists)

    def scores(self, table: str) -> Made:
        return self._made("score", f"{self._counts(table)} {self.intervals}", [self.path(table)])

    def differences(self, table: str) -> Made:
        options = f"{self._counts(table)} {common.DIFFERENCES[table]} {self.intervals}"
        return self._made("compare", options, [self.path(table)])

    def run_scores(self) -> Made:
        return self._made("run_scores", f"{self._counts('run_scores')} {self.k}", [self.layout.run_scores])

    def coverage(self) -> Made:
        return self._read("coverage", f"{self._counts('coverage')} {self.intervals}")

    def table1(self) -> Made:
        stated = [option for option in (common.paper_option(self.study), common.cutoffs_option(self.study)) if option]
        return self._read("table1", " ".join([f"--scores {shlex.quote(self.layout.scores)}", *stated]))

    def robust(self) -> Made:
        against = "--against grpo " * ("grpo" in (*self.study.study.arms, *self.study.study.analyses))
        return self._read("robust", f"--runs {shlex.quote(self.layout.run_scores)} {against}{self.draws}")

    def contamination(self) -> Made:
        train, *benchmarks = (
            self.layout.problems.format(dataset=name) for name in ("train", *self.study.evaluation.benchmarks)
        )
        listed = self.given.list(benchmarks)
        options = f"--train {shlex.quote(train)} --benchmarks @{shlex.quote(listed)}"
        return self._read("contamination", options, [listed])

    def claims(self) -> Made:
        runs = trained_runs(self.study)
        metrics, evaluations = lists = [
            self.given.list([path.format(**run) for run in runs])
            for path in (self.layout.metrics, self.layout.evaluations)
        ]
        out, others, measures = (self.path(name) for name in ("claims", "claims_sensitivity", "measures"))
        markdown, settings = self.path("claims", "md"), self.given.file(self.settings[out])
        words = [*("--settings", settings), *("--runs", self.layout.run_scores), *("--metrics", f"@{metrics}")]
        words += [*("--evaluations", f"@{evaluations}"), *("--endpoint", self.study.evaluation.endpoint)]
        words += [*("--measures", measures), *("--out", out), *("--sensitivity", others), *("--markdown", markdown)]
        words += ["--protocol", self.layout.protocol] if self.study.protocol else []
        return Made(f"evals.claims {shlex.join(words)}", [measures, out, others, markdown], [settings], lists)

    def dose_response(self) -> Made:
        metrics = [self.layout.metrics.format(**run) for run in trained_runs(self.study)]
        lists = [self.given.list(paths) for paths in (metrics, conventions(self.layout, self.study))]
        words = [*("--measures", self.path("measures")), *("--metrics", f"@{lists[0]}")]
        words += ["--conventions", f"@{lists[1]}"]
        words += ["--protocol", self.layout.protocol] if self.study.protocol else []
        return self._read("dose_response", f"{shlex.join(words)} {self.draws}", lists)

    def stages(self, doses: bool) -> list[list[list[Made]]]:
        """All tables as `together` takes them, those that take longest first in their stage.

        `doses`: with dose_response, which is made of the measures of the claims.
        """
        more = {"analyses": self.scores, "analysis_differences": self.differences}
        of_analyses = [[make(table)] for table, make in more.items() if table in self.made_of]
        return [
            [*([self.counts(part)] for part in common.parts(self.study)), [self.contamination()]],
            [[self.differences("differences")], [self.run_scores()], [self.scores("scores"), self.table1()]],
            [
                [self.claims(), *([self.dose_response()] if doses else [])],
                [self.coverage()],
                *of_analyses,
                [self.robust()],
            ],
        ]

    def files(self) -> list[str]:
        """Every table, but for the counts and doses."""
        every = [made for stage in self.stages(doses=False) for chain in stage for made in chain]
        counted = {self.layout.counts.format(part=part) for part in common.parts(self.study)}
        return [path for made in every for path in made.outputs if path not in counted]

    def _counts(self, table: str) -> str:
        return f"--counts {shlex.join(self.layout.counts.format(part=part) for part in self.made_of[table])}"

    def _made(self, module: str, options: str, outputs: list[str], lists: Sequence[str] = ()) -> Made:
        """By a command of evals.tables, whose first output is the table."""
        settings = self.given.file(self.settings[outputs[0]])
        written = [
            f"{option} {shlex.quote(path)}" for option, path in zip(("--out", "--markdown"), outputs, strict=False)
        ]
        command = f"evals.tables.{module} --settings {shlex.quote(settings)} {options} {' '.join(written)}"
        return Made(command, outputs, [settings], list(lists))

    def _read(self, table: str, options: str, lists: Sequence[str] = ()) -> Made:
        """A table that is written to be read too."""
        return self._made(table, options, [self.path(table), self.path(table, "md")], lists)
