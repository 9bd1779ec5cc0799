# Counts, estimates with intervals, and Table 1. The graded files are read once, by `counts`; everything after it is arithmetic.
from workflow.slurm.resources import growing


rule counts:
    input:
        again=lambda w: STALE.check_table(TABLES, PATHS.counts.format(part=w.part)),
        image_content=IMAGE_CONTENT["report"],
        graded=lambda w: common.graded_files(PATHS, STUDY, w.part),
        selection=lambda w: common.selections(PATHS, STUDY, w.part),
        problems=expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks),
    output:
        PATHS.counts,
    log:
        PATHS.log("counts", "part"),
    benchmark:
        PATHS.benchmark("counts", "part")
    wildcard_constraints:
        part="|".join(common.parts(STUDY)),
    priority: 30  # everything waits for it
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=lambda w: MADE.counts(w.part).settings,
        lists=lambda w: MADE.counts(w.part).lists,
        command=lambda w: MADE.counts(w.part).command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


# scores: the arms of Table 1. analyses: the same estimates for every arm, beside Table 1 and without influence on it.
rule score:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/{w.table}.parquet"),
        image_content=IMAGE_CONTENT["report"],
        counts=lambda w: expand(PATHS.counts, part=MADE.made_of[w.table]),
    output:
        f"{PATHS.root}/{{table}}.parquet",
    log:
        PATHS.log("score", "table"),
    benchmark:
        PATHS.benchmark("score", "table")
    wildcard_constraints:
        table="|".join(common.SCORES & MADE.made_of.keys()),
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=lambda w: MADE.scores(w.table).settings,
        lists=lambda w: MADE.scores(w.table).lists,
        command=lambda w: MADE.scores(w.table).command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


rule table1:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.table1}.parquet"),
        image_content=IMAGE_CONTENT["report"],
        scores=PATHS.scores,
    output:
        parquet=f"{PATHS.table1}.parquet",
        markdown=report(f"{PATHS.table1}.md", category="tables"),
    log:
        PATHS.log("table1"),
    benchmark:
        PATHS.benchmark("table1")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=MADE.table1().settings,
        lists=MADE.table1().lists,
        command=MADE.table1().command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


# differences: all pairs of Table 1's arms. analysis_differences: every arm against GRPO.
rule differences:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/{w.table}.parquet"),
        image_content=IMAGE_CONTENT["report"],
        counts=lambda w: expand(PATHS.counts, part=MADE.made_of[w.table]),
    output:
        f"{PATHS.root}/{{table}}.parquet",
    log:
        PATHS.log("differences", "table"),
    benchmark:
        PATHS.benchmark("differences", "table")
    wildcard_constraints:
        table="|".join(common.DIFFERENCES.keys() & MADE.made_of.keys()),
    priority: 10
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=lambda w: MADE.differences(w.table).settings,
        lists=lambda w: MADE.differences(w.table).lists,
        command=lambda w: MADE.differences(w.table).command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


# Training seeds are the unit of replication: one row per run.
rule run_scores:
    input:
        again=lambda w: STALE.check_table(TABLES, PATHS.run_scores),
        image_content=IMAGE_CONTENT["report"],
        counts=expand(PATHS.counts, part=MADE.made_of["run_scores"]),
    output:
        PATHS.run_scores,
    log:
        PATHS.log("run_scores"),
    benchmark:
        PATHS.benchmark("run_scores")
    priority: 20  # figures wait for it
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=MADE.run_scores().settings,
        lists=MADE.run_scores().lists,
        command=MADE.run_scores().command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


rule claims:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/claims.parquet"),
        image_content=IMAGE_CONTENT["report"],
        runs=rules.run_scores.output,
        metrics=[PATHS.metrics.format(**run) for run in RUNS],
        evaluations=[PATHS.evaluations.format(**run) for run in RUNS],
        protocol=[PATHS.protocol] if STUDY.protocol else [],
    output:
        measures=f"{PATHS.root}/measures.parquet",
        parquet=f"{PATHS.root}/claims.parquet",
        sensitivity=f"{PATHS.root}/claims_sensitivity.parquet",
        markdown=report(f"{PATHS.root}/claims.md", category="tables"),
    log:
        PATHS.log("claims"),
    benchmark:
        PATHS.benchmark("claims")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=MADE.claims().settings,
        lists=MADE.claims().lists,
        command=MADE.claims().command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


rule robust:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/robust.parquet"),
        image_content=IMAGE_CONTENT["report"],
        runs=rules.run_scores.output,
    output:
        parquet=f"{PATHS.root}/robust.parquet",
        markdown=report(f"{PATHS.root}/robust.md", category="tables"),
    log:
        PATHS.log("robust"),
    benchmark:
        PATHS.benchmark("robust")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=MADE.robust().settings,
        lists=MADE.robust().lists,
        command=MADE.robust().command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


rule coverage:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/coverage.parquet"),
        image_content=IMAGE_CONTENT["report"],
        counts=expand(PATHS.counts, part=MADE.made_of["coverage"]),
    output:
        parquet=f"{PATHS.root}/coverage.parquet",
        markdown=report(f"{PATHS.root}/coverage.md", category="tables"),
    log:
        PATHS.log("coverage"),
    benchmark:
        PATHS.benchmark("coverage")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=MADE.coverage().settings,
        lists=MADE.coverage().lists,
        command=MADE.coverage().command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"


rule contamination:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/contamination.parquet"),
        image_content=IMAGE_CONTENT["report"],
        train=PATHS.problems.format(dataset="train"),
        benchmarks=expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks),
    output:
        parquet=f"{PATHS.root}/contamination.parquet",
        markdown=report(f"{PATHS.root}/contamination.md", category="tables"),
    log:
        PATHS.log("contamination"),
    benchmark:
        PATHS.benchmark("contamination")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=MADE.contamination().settings,
        lists=MADE.contamination().lists,
        command=MADE.contamination().command,
    shell:
        "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"
