# The figures of evals/figures/table.py: Parquet in, PDF, PNG and SVG out, with a sidecar of hashes.
import shlex

from workflow import figures
from workflow.slurm.resources import growing

METRICS = figures.MetricsFiles(RUNS, PATHS.metrics)
# Figure -> option of its command -> files, for the figures that the study can have.
FIGURES = figures.drawable(
    STUDY,
    METRICS,
    {
        "run-scores": [PATHS.run_scores],
        "scores": [PATHS.scores],
        "coverage": [f"{PATHS.root}/coverage.parquet"],
        "differences": [PATHS.differences],
        "theory": THEORY,
        # Of a study that trains, rule probe_figure draws them.
        "probes": [PATHS.probes] if "probes.parquet" in BROUGHT else [],
        "doses": [],  # drawn by rule dose_figure
        "budget": [],  # drawn by rule budget_figure
    },
)
FIGURE_SETTINGS = {
    name: figures.settings_of(STUDY, PLAN, METRICS, FIGURES[name]) for name in FIGURES
}
FIGURE_FILES = [
    f"{PATHS.figures}/{{figure}}.{ending}" for ending in ("pdf", "svg", "json", "png")
]


# From a bundle all inputs are there at once, and what takes the time is starting Python: figures of the training and figures of
# scores in one process each. Snakemake takes a checksum of each input for each output: the bundle's manifest stands for the metrics.
if BUNDLE:
    of_training = [name for name in FIGURES if set(FIGURES[name]) == {"metrics"}]
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
                tables=[figures.tables(FIGURES[name]) for name in names],
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
                    for path in figures.lists(FIGURES[name], GIVEN_SETTINGS.list)
                ],
                commands=" + ".join(
                    f"evals.figures {name} --settings {shlex.quote(GIVEN_SETTINGS.file(FIGURE_SETTINGS[name]))}"
                    f" {figures.options(FIGURES[name], GIVEN_SETTINGS.list)} --out-prefix {shlex.quote(f'{PATHS.figures}/{name}')}"
                    for name in names
                ),
            shell:
                "{PYTHON_IN[report]} evals.together {params.commands} > {log:q} 2>&1"

else:

    rule figure:
        input:
            again=lambda w: STALE.check(
                f"{PATHS.figures}/{w.figure}.json",
                FIGURE_SETTINGS[w.figure],
            ),
            image_content=IMAGE_CONTENT["report"],
            data=lambda w: figures.files(FIGURES[w.figure]),
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
            lists=lambda w: figures.lists(FIGURES[w.figure], GIVEN_SETTINGS.list),
            options=lambda w: figures.options(FIGURES[w.figure], GIVEN_SETTINGS.list),
            prefix=f"{PATHS.figures}/{{figure}}",
        shell:
            "{PYTHON_IN[report]} evals.figures {wildcards.figure} --settings {params.settings:q} {params.options}"
            " --out-prefix {params.prefix:q} > {log:q} 2>&1"


rule figures:
    input:
        expand(
            f"{PATHS.figures}/{{figure}}.{{form}}", figure=FIGURES, form=["pdf", "png"]
        ),
        DOSE_FIGURE if DOSES_DECLARED else [],
