# Everything that a publication asks for, in one folder that is ready to upload; nothing is uploaded.
from workflow.slurm.resources import growing


rule publish:
    input:
        image_content=IMAGE_CONTENT["report"],
        leaves=[f"{PATHS.root}/{name}" for name in layout.leaves(STUDY)],
        tables=[rules.tables.input, rules.figures.input, rules.controls.input],
    output:
        directory(f"{PATHS.root}/published"),
    log:
        PATHS.log("publish"),
    benchmark:
        PATHS.benchmark("publish")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        results=lambda w: PATHS.root,
    shell:
        "{PYTHON_IN[report]} evals.publish --results {params.results:q} --out {output:q} > {log:q} 2>&1 && cat {log:q}"
