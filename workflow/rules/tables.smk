# Estimates with intervals, and Table 1.
from workflow.slurm.resources import growing


rule score:
    input:
        again=lambda w: STALE.check_table(TABLES, PATHS.scores),
        image=IMAGE["report"],
        graded=[PATHS.graded.format(**run) for run in MAIN_EVALUATED],
        selection=[PATHS.selection.format(**run) for run in MAIN_RUNS],
    output:
        PATHS.scores,
    log:
        PATHS.log("score"),
    benchmark:
        PATHS.benchmark("score")
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[PATHS.scores]),
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON_IN[report]} evals.tables.score --settings {params.settings:q} --graded {input.graded:q} --selection {input.selection:q} --k {params.k}"
        " --seed-variance {params.variance} --draws {params.draws} --seed {params.seed} --out {output:q} > {log:q} 2>&1"


rule table1:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.table1}.parquet"),
        image=IMAGE["report"],
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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.table1}.parquet"]),
        paper=common.paper_option(STUDY),
    shell:
        "{PYTHON_IN[report]} evals.tables.table1 --settings {params.settings:q} --scores {input.scores:q}"
        " {params.paper} --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule differences:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/differences.parquet"),
        image=IMAGE["report"],
        graded=[PATHS.graded.format(**run) for run in MAIN_EVALUATED],
        selection=[PATHS.selection.format(**run) for run in MAIN_RUNS],
    output:
        f"{PATHS.root}/differences.parquet",
    log:
        PATHS.log("differences"),
    benchmark:
        PATHS.benchmark("differences")
    priority: 10
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/differences.parquet"]),
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON_IN[report]} evals.tables.compare --settings {params.settings:q} --graded {input.graded:q} --selection {input.selection:q} --k {params.k} --seed-variance {params.variance}"
        " --draws {params.draws} --seed {params.seed} --out {output:q} > {log:q} 2>&1"


# Analyses: the same estimates for every arm, beside Table 1 and without influence on it.
ANALYSIS_TABLES = []
if STUDY.study.analyses and "grpo" in STUDY.study.arms:
    ANALYSIS_TABLES = [
        f"{PATHS.root}/analyses.parquet",
        f"{PATHS.root}/analysis_differences.parquet",
    ]

    rule analyses:
        input:
            again=lambda w: STALE.check_table(TABLES, ANALYSIS_TABLES[0]),
            image=IMAGE["report"],
            graded=[PATHS.graded.format(**run) for run in EVALUATED],
            selection=[PATHS.selection.format(**run) for run in RUNS],
        output:
            ANALYSIS_TABLES[0],
        log:
            PATHS.log("analyses"),
        benchmark:
            PATHS.benchmark("analyses")
        threads: 1
        resources:
            mem_mb=growing(8000),
            runtime=growing(30),
        params:
            settings=GIVEN_SETTINGS.file(TABLES[ANALYSIS_TABLES[0]]),
            k=" ".join(map(str, STUDY.evaluation.k)),
            draws=STUDY.evaluation.bootstrap_draws,
            seed=STUDY.evaluation.bootstrap_seed,
            variance=STUDY.evaluation.seed_variance,
        shell:
            "{PYTHON_IN[report]} evals.tables.score --settings {params.settings:q} --graded {input.graded:q} --selection {input.selection:q} --k {params.k}"
            " --seed-variance {params.variance} --draws {params.draws} --seed {params.seed} --out {output:q} > {log:q} 2>&1"

    rule analysis_differences:
        input:
            again=lambda w: STALE.check_table(TABLES, ANALYSIS_TABLES[1]),
            image=IMAGE["report"],
            graded=[PATHS.graded.format(**run) for run in EVALUATED],
            selection=[PATHS.selection.format(**run) for run in RUNS],
        output:
            ANALYSIS_TABLES[1],
        log:
            PATHS.log("analysis_differences"),
        benchmark:
            PATHS.benchmark("analysis_differences")
        threads: 1
        resources:
            mem_mb=growing(8000),
            runtime=growing(30),
        params:
            settings=GIVEN_SETTINGS.file(TABLES[ANALYSIS_TABLES[1]]),
            k=" ".join(map(str, STUDY.evaluation.k)),
            draws=STUDY.evaluation.bootstrap_draws,
            seed=STUDY.evaluation.bootstrap_seed,
            variance=STUDY.evaluation.seed_variance,
        shell:
            "{PYTHON_IN[report]} evals.tables.compare --settings {params.settings:q} --graded {input.graded:q} --selection {input.selection:q} --against grpo"
            " --k {params.k} --seed-variance {params.variance} --draws {params.draws} --seed {params.seed}"
            " --out {output:q} > {log:q} 2>&1"


# Training seeds are the unit of replication: one row per run.
rule run_scores:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/run_scores.parquet"),
        image=IMAGE["report"],
        graded=[PATHS.graded.format(**run) for run in EVALUATED],
        selection=[PATHS.selection.format(**run) for run in RUNS],
    output:
        f"{PATHS.root}/run_scores.parquet",
    log:
        PATHS.log("run_scores"),
    benchmark:
        PATHS.benchmark("run_scores")
    priority: 20  # figures wait for it
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(10),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/run_scores.parquet"]),
        k=" ".join(map(str, STUDY.evaluation.k)),
    shell:
        "{PYTHON_IN[report]} evals.tables.run_scores --settings {params.settings:q} --graded {input.graded:q} --selection {input.selection:q} --k {params.k}"
        " --out {output:q} > {log:q} 2>&1"


rule claims:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/claims.parquet"),
        image=IMAGE["report"],
        runs=rules.run_scores.output,
        metrics=[PATHS.metrics.format(**run) for run in RUNS],
    output:
        measures=f"{PATHS.root}/measures.parquet",
        parquet=f"{PATHS.root}/claims.parquet",
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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/claims.parquet"]),
    shell:
        "{PYTHON_IN[report]} evals.claims --settings {params.settings:q} --runs {input.runs:q} --metrics {input.metrics:q} --measures {output.measures:q}"
        " --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule contamination:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/contamination.parquet"),
        image=IMAGE["report"],
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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/contamination.parquet"]),
    shell:
        "{PYTHON_IN[report]} evals.tables.contamination --settings {params.settings:q} --train {input.train:q} --benchmarks {input.benchmarks:q}"
        " --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule tables:
    input:
        PATHS.study,
        rules.table1.output,
        rules.differences.output,
        ANALYSIS_TABLES,
        rules.claims.output,
        rules.contamination.output,
