# Counts, estimates with intervals, and Table 1. The graded files are read once, by `counts`; everything after it is arithmetic.
import shlex
from workflow.slurm.resources import growing

PARTS = common.parts(STUDY)  # main; and analyses, if there are any
MADE_OF = common.made_of(STUDY)  # table -> the parts of whose runs it is made


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
        part="|".join(PARTS),
    priority: 30  # everything waits for it
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=lambda w: GIVEN_SETTINGS.file(TABLES[PATHS.counts.format(part=w.part)]),
        lists=lambda w: [
            GIVEN_SETTINGS.list(common.graded_files(PATHS, STUDY, w.part)),
            GIVEN_SETTINGS.list(common.selections(PATHS, STUDY, w.part)),
        ],
    shell:
        "{PYTHON_IN[report]} evals.tables.counts --settings {params.settings:q} --graded @{params.lists[0]:q} --selection @{params.lists[1]:q}"
        " --problems {input.problems:q} --out {output:q} > {log:q} 2>&1"


# scores: the arms of Table 1. analyses: the same estimates for every arm, beside Table 1 and without influence on it.
rule score:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/{w.table}.parquet"),
        image_content=IMAGE_CONTENT["report"],
        counts=lambda w: expand(PATHS.counts, part=MADE_OF[w.table]),
    output:
        f"{PATHS.root}/{{table}}.parquet",
    log:
        PATHS.log("score", "table"),
    benchmark:
        PATHS.benchmark("score", "table")
    wildcard_constraints:
        table="|".join(common.SCORES & MADE_OF.keys()),
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=lambda w: GIVEN_SETTINGS.file(
            TABLES[f"{PATHS.root}/{w.table}.parquet"]
        ),
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON_IN[report]} evals.tables.score --settings {params.settings:q} --counts {input.counts:q} --k {params.k}"
        " --seed-variance {params.variance} --draws {params.draws} --seed {params.seed} --out {output:q} > {log:q} 2>&1"


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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.table1}.parquet"]),
        stated=" ".join(
            filter(None, [common.paper_option(STUDY), common.cutoffs_option(STUDY)])
        ),
    shell:
        "{PYTHON_IN[report]} evals.tables.table1 --settings {params.settings:q} --scores {input.scores:q}"
        " {params.stated} --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


# differences: all pairs of Table 1's arms. analysis_differences: every arm against GRPO.
rule differences:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/{w.table}.parquet"),
        image_content=IMAGE_CONTENT["report"],
        counts=lambda w: expand(PATHS.counts, part=MADE_OF[w.table]),
    output:
        f"{PATHS.root}/{{table}}.parquet",
    log:
        PATHS.log("differences", "table"),
    benchmark:
        PATHS.benchmark("differences", "table")
    wildcard_constraints:
        table="|".join(common.DIFFERENCES.keys() & MADE_OF.keys()),
    priority: 10
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=lambda w: GIVEN_SETTINGS.file(
            TABLES[f"{PATHS.root}/{w.table}.parquet"]
        ),
        against=lambda w: common.DIFFERENCES[w.table],
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON_IN[report]} evals.tables.compare --settings {params.settings:q} --counts {input.counts:q} {params.against} --k {params.k}"
        " --seed-variance {params.variance} --draws {params.draws} --seed {params.seed} --out {output:q} > {log:q} 2>&1"


# Training seeds are the unit of replication: one row per run.
rule run_scores:
    input:
        again=lambda w: STALE.check_table(TABLES, PATHS.run_scores),
        image_content=IMAGE_CONTENT["report"],
        counts=expand(PATHS.counts, part=MADE_OF["run_scores"]),
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
        settings=GIVEN_SETTINGS.file(TABLES[PATHS.run_scores]),
        k=" ".join(map(str, STUDY.evaluation.k)),
    shell:
        "{PYTHON_IN[report]} evals.tables.run_scores --settings {params.settings:q} --counts {input.counts:q} --k {params.k}"
        " --out {output:q} > {log:q} 2>&1"


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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/claims.parquet"]),
        lists=[
            GIVEN_SETTINGS.list([path.format(**run) for run in RUNS])
            for path in (PATHS.metrics, PATHS.evaluations)
        ],
        endpoint=STUDY.evaluation.endpoint,
        protocol=f" --protocol {shlex.quote(PATHS.protocol)}" if STUDY.protocol else "",
    shell:
        "{PYTHON_IN[report]} evals.claims --settings {params.settings:q} --runs {input.runs:q} --metrics @{params.lists[0]:q}"
        " --evaluations @{params.lists[1]:q} --endpoint {params.endpoint} --measures {output.measures:q}"
        " --out {output.parquet:q} --sensitivity {output.sensitivity:q} --markdown {output.markdown:q}{params.protocol} > {log:q} 2>&1"


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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/robust.parquet"]),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
    shell:
        "{PYTHON_IN[report]} evals.tables.robust --settings {params.settings:q} --runs {input.runs:q} --against grpo"
        " --draws {params.draws} --seed {params.seed} --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule coverage:
    input:
        again=lambda w: STALE.check_table(TABLES, f"{PATHS.root}/coverage.parquet"),
        image_content=IMAGE_CONTENT["report"],
        counts=expand(PATHS.counts, part=MADE_OF["coverage"]),
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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/coverage.parquet"]),
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON_IN[report]} evals.tables.coverage --settings {params.settings:q} --counts {input.counts:q} --k {params.k}"
        " --seed-variance {params.variance} --draws {params.draws} --seed {params.seed} --out {output.parquet:q}"
        " --markdown {output.markdown:q} > {log:q} 2>&1"


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
        settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/contamination.parquet"]),
        lists=GIVEN_SETTINGS.list(
            expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks)
        ),
    shell:
        "{PYTHON_IN[report]} evals.tables.contamination --settings {params.settings:q} --train {input.train:q} --benchmarks @{params.lists:q}"
        " --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule tables:
    input:
        PATHS.study,
        rules.table1.output,
        [f"{PATHS.root}/{table}.parquet" for table in MADE_OF],
        rules.claims.output,
        rules.robust.output,
        rules.coverage.output,
        rules.contamination.output,
