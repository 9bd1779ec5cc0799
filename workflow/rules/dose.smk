# Outcomes against the dose of each arm: part of the tables and figures of a study whose protocol declares doses. Of another study
# they are exploratory, and made only when asked for: snakemake dose.
from workflow.slurm.resources import growing

DOSE_TABLES = [f"{PATHS.root}/dose_response.{ending}" for ending in ("parquet", "md")]
DOSE_FIGURE = [f"{PATHS.figures}/dose_response.{ending}" for ending in ("pdf", "png")]
DOSES_DECLARED = protocols.declares_doses(
    bundle.protocol(BUNDLE) if BUNDLE else PROTOCOL
)
DOSE_RESPONSE = MADE.dose_response()


# Out of a bundle with declared doses, both are made with the others (together.smk).
if not (BUNDLE and DOSES_DECLARED):

    rule dose_response:
        input:
            again=lambda w: STALE.check_table(TABLES, DOSE_TABLES[0]),
            image_content=IMAGE_CONTENT["report"],
            measures=f"{PATHS.root}/measures.parquet",
            metrics=[PATHS.metrics.format(**run) for run in RUNS],
            conventions=tables.conventions(PATHS, STUDY),
            protocol=[PATHS.protocol] if STUDY.protocol else [],
        output:
            parquet=DOSE_TABLES[0],
            markdown=report(DOSE_TABLES[1], category="tables"),
        log:
            PATHS.log("dose_response"),
        benchmark:
            PATHS.benchmark("dose_response")
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=DOSE_RESPONSE.settings,
            lists=DOSE_RESPONSE.lists,
            command=DOSE_RESPONSE.command,
        shell:
            "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"

    rule dose_figure:
        input:
            image_content=IMAGE_CONTENT["report"],
            doses=DOSE_TABLES[0],
        output:
            multiext(f"{PATHS.figures}/dose_response", ".pdf", ".json"),
            png=report(f"{PATHS.figures}/dose_response.png", category="figures"),
        log:
            PATHS.log("dose_figure"),
        benchmark:
            PATHS.benchmark("dose_figure")
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            settings=GIVEN_SETTINGS.file(TABLES[DOSE_TABLES[0]]),
            prefix=lambda w: f"{PATHS.figures}/dose_response",
        shell:
            "{PYTHON_IN[report]} evals.figures dose_response --settings {params.settings:q} --doses {input.doses:q}"
            " --out-prefix {params.prefix:q} > {log:q} 2>&1"


rule dose:
    input:
        DOSE_TABLES,
        DOSE_FIGURE,
