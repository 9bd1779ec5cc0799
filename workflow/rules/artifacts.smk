# What others take from a finished study: one file to rebuild its tables and figures from, and a description of all of it.

if not BUNDLE:

    rule bundle:
        input:
            [f"{PATHS.root}/{name}" for name in leaves.leaves(STUDY)],
        output:
            f"{PATHS.root}/{STUDY.name}.zip",
        log:
            PATHS.log("bundle"),
        benchmark:
            PATHS.benchmark("bundle")
        threads: 1
        resources:
            mem_mb=2000,
            runtime=20,
        params:
            results=PATHS.root,
        shell:
            "{PYTHON} evals.bundle make --results {params.results} --out {output} > {log} 2>&1"
