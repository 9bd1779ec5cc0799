# One module and one function per figure (evals/figures); Parquet in, PDF, PNG and SVG out, with a sidecar of hashes.
import shlex

from asymgrpo.method.arms import PLANE
from evals.figures import ARMS
from workflow import figures
from workflow.slurm.resources import growing

METRICS = figures.MetricsFiles(RUNS, PATHS.metrics)
of = METRICS.of

# Figure -> option of its command -> files. A figure is drawn if the study has its arms.
RUN_SCORES = [PATHS.run_scores]
FIGURE_INPUTS = {
    "training_curves": {"metrics": of(*STUDY.study.arms)},
    "passk_curves": {"scores": [PATHS.scores]},
    "entropy_accuracy": {
        "metrics": of(*ARMS["entropy_accuracy"]),
        "run-scores": RUN_SCORES,
    },
    "reversal": {"metrics": of(*ARMS["reversal"]), "run-scores": RUN_SCORES},
    "entropy_coefficient": {
        "metrics": of(*ARMS["entropy_coefficient"]),
        "run-scores": RUN_SCORES,
    },
    "covariance": {"metrics": of(*ARMS["covariance"])},
    "none_solved": {"metrics": of(*ARMS["none_solved"])},
    "displacement": {"metrics": of(*ARMS["displacement"])},
    "synergy": {"metrics": of(*ARMS["synergy"]), "run-scores": RUN_SCORES},
    "paper_vs_reproduction": {
        "differences": (
            [PATHS.differences] if len(figures.in_paper(MAIN_RUNS)) > 1 else []
        )
    },
    "selection_bias": {
        "run-scores": (
            RUN_SCORES
            if figures.with_and_without_benchmark(STUDY.evaluation.selection)
            else []
        )
    },
    "plane": {
        "metrics": METRICS.some(PLANE, at_least=5),
        "run-scores": RUN_SCORES,
    },
    "theory_weight": {"theory": THEORY},
    "theory_entropy": {"theory": THEORY},
    "theory_equation": {"theory": THEORY},
}
FIGURES = figures.drawable(FIGURE_INPUTS)
FIGURE_SETTINGS = {
    name: figures.settings_of(STUDY, PLAN, METRICS, FIGURE_INPUTS[name])
    for name in FIGURES
}
FIGURE_FILES = [
    f"{PATHS.figures}/{{figure}}.{ending}" for ending in ("pdf", "svg", "json", "png")
]


# From a bundle all inputs are there at once, and what takes the time is starting Python: figures of the training and figures of
# scores in one process each. Snakemake takes a checksum of each input for each output: the bundle's manifest stands for the metrics.
if BUNDLE:
    of_training = [name for name in FIGURES if set(FIGURE_INPUTS[name]) == {"metrics"}]
    DRAWN_TOGETHER = {
        "draw_training": of_training,
        "draw_scores": [name for name in FIGURES if name not in of_training],
    }

    for part, names in DRAWN_TOGETHER.items():

        rule:
            name:
                part
            input:
                image_content=IMAGE_CONTENT["report"],
                bundle=bundle.manifest(PATHS.root),
                tables=[figures.tables(FIGURE_INPUTS[name]) for name in names],
            output:
                expand(FIGURE_FILES, figure=names),
            log:
                PATHS.log(part),
            benchmark:
                PATHS.benchmark(part)
            threads: 1
            resources:
                mem_mb=growing(4000),
                runtime=growing(20),
            params:
                settings=[GIVEN_SETTINGS.file(FIGURE_SETTINGS[name]) for name in names],
                lists=[
                    path
                    for name in names
                    for path in figures.lists(FIGURE_INPUTS[name], GIVEN_SETTINGS.list)
                ],
                commands=" + ".join(
                    f"{name} --settings {shlex.quote(GIVEN_SETTINGS.file(FIGURE_SETTINGS[name]))}"
                    f" {figures.options(FIGURE_INPUTS[name], GIVEN_SETTINGS.list)} --out-prefix {shlex.quote(f'{PATHS.figures}/{name}')}"
                    for name in names
                ),
            shell:
                "{PYTHON_IN[report]} evals.figures {params.commands} > {log:q} 2>&1"

else:

    rule figure:
        input:
            again=lambda w: STALE.check(
                f"{PATHS.figures}/{w.figure}.json",
                FIGURE_SETTINGS[w.figure],
            ),
            image_content=IMAGE_CONTENT["report"],
            data=lambda w: figures.files(FIGURE_INPUTS[w.figure]),
        output:
            multiext(f"{PATHS.figures}/{{figure}}", ".pdf", ".svg", ".json"),
            png=report(f"{PATHS.figures}/{{figure}}.png", category="figures"),
        log:
            PATHS.log("figure", "figure"),
        benchmark:
            PATHS.benchmark("figure", "figure")
        wildcard_constraints:
            figure="|".join(FIGURES),
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=lambda w: GIVEN_SETTINGS.file(FIGURE_SETTINGS[w.figure]),
            lists=lambda w: figures.lists(FIGURE_INPUTS[w.figure], GIVEN_SETTINGS.list),
            options=lambda w: figures.options(
                FIGURE_INPUTS[w.figure], GIVEN_SETTINGS.list
            ),
            prefix=f"{PATHS.figures}/{{figure}}",
        shell:
            "{PYTHON_IN[report]} evals.figures.{wildcards.figure} --settings {params.settings:q} {params.options}"
            " --out-prefix {params.prefix:q} > {log:q} 2>&1"


rule figures:
    input:
        expand(
            f"{PATHS.figures}/{{figure}}.{{form}}", figure=FIGURES, form=["pdf", "png"]
        ),
