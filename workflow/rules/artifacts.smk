# What others take from a finished study: one file to rebuild its tables and figures from, and a description of all of it.
from workflow.slurm.resources import growing

if not BUNDLE:

    rule bundle:
        input:
            image_content=IMAGE_CONTENT["report"],
            leaves=[f"{PATHS.root}/{name}" for name in layout.leaves(STUDY)],
        output:
            f"{PATHS.root}/{STUDY.name}.zip",
        log:
            PATHS.log("bundle"),
        benchmark:
            PATHS.benchmark("bundle")
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            results=lambda w: PATHS.root,
        shell:
            "{PYTHON_IN[report]} evals.artifacts.bundle make --results {params.results:q} --out {output:q} > {log:q} 2>&1"


rule crate:
    input:
        image_content=IMAGE_CONTENT["report"],
        leaves=[f"{PATHS.root}/{name}" for name in layout.leaves(STUDY)],
        tables=[rules.tables.input, rules.figures.input, rules.controls.input],
    output:
        f"{PATHS.root}/ro-crate-metadata.json",
    log:
        PATHS.log("crate"),
    benchmark:
        PATHS.benchmark("crate")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        results=lambda w: PATHS.root,
    shell:
        "{PYTHON_IN[report]} evals.artifacts.crate --results {params.results:q} --out {output:q} > {log:q} 2>&1"
