# Estimates with intervals, and Table 1.


rule score:
    input:
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
        mem_mb=8000,
        runtime=30,
    params:
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON} evals.score --graded {input.graded} --selection {input.selection} --k {params.k}"
        " --seed-variance {params.variance} --draws {params.draws} --seed {params.seed} --out {output} > {log} 2>&1"


rule table1:
    input:
        scores=PATHS.scores,
        study=PATHS.section.format(section="study"),
    output:
        parquet=f"{PATHS.table1}.parquet",
        markdown=report(f"{PATHS.table1}.md", category="tables"),
    log:
        PATHS.log("table1"),
    benchmark:
        PATHS.benchmark("table1")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "{PYTHON} evals.tables --scores {input.scores} --metadata {input.study}"
        " --out {output.parquet} --markdown {output.markdown} > {log} 2>&1"


rule differences:
    input:
        graded=[PATHS.graded.format(**run) for run in MAIN_EVALUATED],
        selection=[PATHS.selection.format(**run) for run in MAIN_RUNS],
    output:
        f"{PATHS.root}/differences.parquet",
    log:
        PATHS.log("differences"),
    benchmark:
        PATHS.benchmark("differences")
    threads: 1
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        results=lambda w: PATHS.root,
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON} evals.compare {params.results} --k {params.k} --seed-variance {params.variance}"
        " --draws {params.draws} --seed {params.seed} --out {output} > {log} 2>&1"


rule contamination:
    input:
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
        mem_mb=4000,
        runtime=10,
    shell:
        "{PYTHON} evals.contamination --train {input.train} --benchmarks {input.benchmarks}"
        " --out {output.parquet} --markdown {output.markdown} > {log} 2>&1"


rule tables:
    input:
        rules.table1.output,
        rules.differences.output,
        rules.contamination.output,
