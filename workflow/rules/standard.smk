# The minimum standard of arXiv:2509.21882: no part of `all`; `snakemake standard` makes its tables, figure and page.
from workflow.slurm.resources import growing


rule answers:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/answers.parquet"),
        image_content=IMAGE_CONTENT["report"],
        counts=expand(PATHS.counts, part=["main"]),
    output:
        parquet=f"{PATHS.root}/answers.parquet",
        markdown=report(f"{PATHS.root}/answers.md", category="standard"),
    log:
        PATHS.log("answers"),
    benchmark:
        PATHS.benchmark("answers")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/answers.parquet"]),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON_IN[report]} evals.tables.answers --settings {params.settings:q} --counts {input.counts:q} --seed-variance {params.variance}"
        " --draws {params.draws} --seed {params.seed} --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule standard:
    input:
        rules.answers.output,
