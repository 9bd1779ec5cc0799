# The study of several laboratories: their bundles joined (workflow.bundle), and its tables with the laboratory as a random effect.
# snakemake pool --config 'bundles=[a.zip,b.zip]'
# Settings of one study, which differ in declared keys: not joined, and the same tables with the setting as the random effect.
# snakemake pool --config 'bundles=[a.zip,b.zip]' 'differ=[data.train]'
from workflow.slurm.resources import growing

POOLED = bundle.is_pool(BUNDLE)
POOL_TABLES = [
    f"{PATHS.root}/{name}.parquet"
    for name in ("pooled_table1", "pooled_claims", "disagreements", "by_laboratory")
]

if POOLED:

    rule pool_tables:
        input:
            image_content=IMAGE_CONTENT["report"],
            laboratories=f"{PATHS.root}/{layout.LABORATORIES}",
            run_scores=PATHS.run_scores,
            measures=f"{PATHS.root}/measures.parquet",
        output:
            POOL_TABLES,
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


if SETTINGS:

    rule pool_settings:
        input:
            again=lambda w: STALE.check_text(
                f"{PATHS.root}/settings.json", bundle.settings_text(SETTINGS)
            ),
            image_content=IMAGE_CONTENT["report"],
        output:
            POOL_TABLES,
            settings=f"{PATHS.root}/settings.json",
            markdown=report(f"{PATHS.root}/pooled.md", category="tables"),
        log:
            PATHS.log("pool_settings"),
        benchmark:
            PATHS.benchmark("pool_settings")
        threads: 1
        resources:
            mem_mb=growing(4000),
            runtime=growing(30),
        params:
            bundles=SETTINGS.bundles,
            differ=SETTINGS.differ,
            factor=SETTINGS.factor,
            out=lambda w: PATHS.root,
        shell:
            "{PYTHON_IN[report]} evals.pool settings --bundles {params.bundles:q} --differ {params.differ:q}"
            " --factor {params.factor:q} --out {params.out:q} > {log:q} 2>&1"


rule pool:
    input:
        lambda w: bundle.need_pool(BUNDLE, SETTINGS),
        rules.pool_tables.output if POOLED else [],
        rules.pool_settings.output if SETTINGS else rules.tables.input,
