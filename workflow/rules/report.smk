# One HTML file about the study, to mail. Not part of `all`, because it tells seconds, and those differ from run to run.
from workflow.slurm.resources import growing


rule page:
    input:
        image_content=IMAGE_CONTENT["report"],
        study=PATHS.study,
        runs=[
            pattern.format(**run)
            for run in RUNS
            for pattern in (
                PATHS.done,
                PATHS.conventions,
                PATHS.metrics,
                PATHS.timings,
                PATHS.evaluations,
            )
        ],
        graded=[PATHS.graded.format(**run) for run in EVALUATED],
        problems=expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks),
        tables=rules.tables.input,
        figures=rules.figures.input,
    output:
        f"{PATHS.root}/report.html",
    log:
        PATHS.log("page"),
    benchmark:
        PATHS.benchmark("page")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        results=lambda w: PATHS.root,
    shell:
        "{PYTHON_IN[report]} evals.report --results {params.results:q} --out {output:q} > {log:q} 2>&1"


rule report:
    input:
        rules.page.output,
