# What the study cost: not part of `all`, because hours differ from run to run. `snakemake cost`, on the cluster with --profile slurm.
from workflow.slurm.resources import growing


# Accounting is asked on the head node; compute nodes may not reach it.
localrules:
    job_costs,


rule job_costs:
    input:
        f"{PATHS.table1}.parquet",
    output:
        jobs=f"{PATHS.root}/cost.parquet",
        by_arm=f"{PATHS.root}/cost_by_arm.parquet",
        markdown=report(f"{PATHS.root}/cost_by_arm.md", category="tables"),
    log:
        PATHS.log("job_costs"),
    benchmark:
        PATHS.benchmark("job_costs")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        results=lambda w: PATHS.root,
        source="auto",  # SLURM's accounting where it knows this study, else Snakemake's benchmark files
        since="now-365days",
    shell:
        "{PYTHON} evals.cost {params.results:q} --source {params.source} --since {params.since} --out {output.jobs:q}"
        " --by-arm {output.by_arm:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule cost:
    input:
        rules.job_costs.output,
