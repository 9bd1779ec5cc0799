# What the method does exactly (asymgrpo/theory). Made from the configuration alone: no run enters it.
from workflow.slurm.resources import growing

# Advantages need torch, which an environment that only rebuilds a bundle does not have: a bundle brings the table, or it is made when
# asked for by name.
BROUGHT = set(BUNDLE.files) if BUNDLE else set()
THEORY = [PATHS.theory] if not BUNDLE or "theory.parquet" in BROUGHT else []

if "theory.parquet" not in BROUGHT:

    rule theory:
        input:
            again=lambda w: STALE.check_table(TABLES, PATHS.theory),
            image_content=IMAGE_CONTENT["evaluate"],
        output:
            PATHS.theory,
        log:
            PATHS.log("theory"),
        benchmark:
            PATHS.benchmark("theory")
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            settings=GIVEN_SETTINGS.file(TABLES[PATHS.theory]),
        shell:
            "{PYTHON_IN[evaluate]} asymgrpo.theory --settings {params.settings:q} --out {output:q} > {log:q} 2>&1"
