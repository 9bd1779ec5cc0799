# The study of several laboratories: their bundles joined (workflow.bundle), and its tables with the laboratory as a random effect.
# snakemake pool --config 'bundles=[a.zip,b.zip]'
from workflow.slurm.resources import growing

POOLED = bundle.is_pool(BUNDLE)

if POOLED:

    rule pool_tables:
        input:
            image_content=IMAGE_CONTENT["report"],
            laboratories=f"{PATHS.root}/{layout.LABORATORIES}",
            run_scores=PATHS.run_scores,
            measures=f"{PATHS.root}/measures.parquet",
        output:
            [
                f"{PATHS.root}/{name}.parquet"
                for name in ("pooled_table1", "pooled_claims", "disagreements")
            ],
            markdown=report(f"{PATHS.root}/pooled.md", category="tables"),
        log:
            PATHS.log("pool_tables"),
        benchmark:
            PATHS.benchmark("pool_tables")
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/claims.parquet"]),
            endpoint=STUDY.evaluation.endpoint,
            out=lambda w: PATHS.root,
        shell:
            "{PYTHON_IN[report]} evals.pool tables --settings {params.settings:q} --laboratories {input.laboratories:q}"
            " --run-scores {input.run_scores:q} --measures {input.measures:q} --endpoint {params.endpoint} --out {params.out:q} > {log:q} 2>&1"


rule pool:
    input:
        lambda w: bundle.need_pool(BUNDLE),
        rules.pool_tables.output if POOLED else [],
        rules.tables.input,
