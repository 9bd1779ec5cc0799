# The figures of evals/figures/table.py: Parquet in, PDF, PNG and SVG out, with a sidecar of hashes.
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
        "doses": [],  # drawn by rule dose_figure, or in together.smk
        "budget": [],  # drawn by rule budget_figure
    },
)
FIGURE_SETTINGS = {
    name: figures.settings_of(STUDY, PLAN, METRICS, FIGURES[name]) for name in FIGURES
}
FIGURE_FILES = [
    f"{PATHS.figures}/{{figure}}.{ending}" for ending in ("pdf", "json", "png")
]


if not BUNDLE:  # out of one, several are drawn by a process (together.smk)

    rule figure:
        input:
            again=lambda w: STALE.check(
                f"{PATHS.figures}/{w.figure}.json",
                FIGURE_SETTINGS[w.figure],
            ),
            image_content=IMAGE_CONTENT["report"],
            data=lambda w: figures.files(FIGURES[w.figure]),
        output:
            multiext(f"{PATHS.figures}/{{figure}}", ".pdf", ".json"),
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
