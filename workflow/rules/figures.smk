# One module and one function per figure (evals/figures); Parquet in, PDF, PNG and SVG out, with a sidecar of hashes.
from workflow.resources import growing

FIGURE_INPUTS = {
    "training_curves": [PATHS.metrics.format(**run) for run in RUNS],
    "passk_curves": [PATHS.scores],
}
FIGURES = list(FIGURE_INPUTS)


rule figure:
    input:
        image=IMAGE["report"],
        data=lambda w: FIGURE_INPUTS[w.figure],
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
        prefix=f"{PATHS.figures}/{{figure}}",
    shell:
        "{PYTHON_IN[report]} evals.figures.{wildcards.figure} --inputs {input.data} --out-prefix {params.prefix} > {log} 2>&1"


rule figures:
    input:
        expand(
            f"{PATHS.figures}/{{figure}}.{{form}}", figure=FIGURES, form=["pdf", "png"]
        ),
