# The minimum standard of arXiv:2509.21882: no part of `all`; `snakemake standard` makes its tables, figure and page.
import shlex
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


BUDGET = f"{PATHS.root}/budget.parquet"
BUDGET_FILES = {
    "graded": common.graded_files(PATHS, STUDY, "main"),
    "selection": common.selections(PATHS, STUDY, "main"),
    "metrics": [PATHS.metrics.format(**run) for run in MAIN_RUNS],
    "evaluations": [PATHS.evaluations.format(**run) for run in MAIN_RUNS],
}


rule budget:
    input:
        again=lambda w: STALE.check_table(TABLES, BUDGET),
        image_content=IMAGE_CONTENT["report"],
        files=[bundle.manifest(PATHS.root)] if BUNDLE else list(BUDGET_FILES.values()),
        problems=expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks),
    output:
        parquet=BUDGET,
        markdown=report(f"{PATHS.root}/budget.md", category="standard"),
    log:
        PATHS.log("budget"),
    benchmark:
        PATHS.benchmark("budget")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[BUDGET]),
        lists=[GIVEN_SETTINGS.list(files) for files in BUDGET_FILES.values()],
        files=" ".join(
            f"--{name} @{shlex.quote(GIVEN_SETTINGS.list(files))}"
            for name, files in BUDGET_FILES.items()
        ),
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
        variance=STUDY.evaluation.seed_variance,
    shell:
        "{PYTHON_IN[report]} evals.tables.budget --settings {params.settings:q} {params.files} --problems {input.problems:q} --k {params.k}"
        " --seed-variance {params.variance} --draws {params.draws} --seed {params.seed}"
        " --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule budget_figure:
    input:
        image_content=IMAGE_CONTENT["report"],
        budget=BUDGET,
    output:
        multiext(f"{PATHS.figures}/budget_curves", ".pdf", ".json"),
        png=report(f"{PATHS.figures}/budget_curves.png", category="figures"),
    log:
        PATHS.log("budget_figure"),
    benchmark:
        PATHS.benchmark("budget_figure")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[BUDGET]),
        prefix=lambda w, output: output.png.removesuffix(".png"),
    shell:
        "{PYTHON_IN[report]} evals.figures budget_curves --settings {params.settings:q} --budget {input.budget:q}"
        " --out-prefix {params.prefix:q} > {log:q} 2>&1"


# Two measurements of the base models, which need their weights: a bundle has what they wrote, or not (evals.artifacts.bundle).
MEASURED = {
    "repeatability": (PATHS.repeats, "evals.repeatability.measure"),
    "memorisation": (PATHS.continued, "evals.memorise"),
}
MEASURED_FILES = {
    name: [pattern.format(model=model) for model in STUDY.study.models]
    for name, (pattern, _) in MEASURED.items()
}

if not BUNDLE:

    for name, (pattern, module) in MEASURED.items():

        rule:
            name:
                f"{name}_measured"
            input:
                again=lambda w, pattern=pattern: STALE.check_table(
                    TABLES, pattern.format(model=w.model)
                ),
                image_content=IMAGE_CONTENT["evaluate"],
                model=PATHS.base_manifest,
                problems=expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks),
            output:
                pattern,
            log:
                PATHS.log(f"{name}_measured", "model"),
            benchmark:
                PATHS.benchmark(f"{name}_measured", "model")
            threads: SAMPLING.cpus
            resources:
                cpus_per_task=SAMPLING.cpus,
                gpu=lambda w: SAMPLING.gpu,
                mem_mb=growing(SAMPLING.mem_mb),
                runtime=growing(SAMPLING.runtime),
            params:
                module=module,
                settings=lambda w, pattern=pattern: GIVEN_SETTINGS.file(
                    TABLES[pattern.format(model=w.model)]
                ),
                weights=lambda w: PATHS.base_model.format(model=w.model),
            shell:
                "{PYTHON_IN[sample]} {params.module} --settings {params.settings:q} --problems {input.problems:q}"
                " --checkpoints {params.weights:q} --threads {threads} --out {output:q} > {log:q} 2>&1"


# Which of the two can be made: all of a study's own, those in a bundle.
THERE = {
    name: files
    for name, files in MEASURED_FILES.items()
    if not BUNDLE
    or all(path.removeprefix(f"{PATHS.root}/") in BUNDLE.files for path in files)
}
ARITHMETIC = {
    "repeatability": "evals.repeatability.table --repeats",
    "memorisation": "evals.tables.memorisation --probes",
}

for name, files in THERE.items():

    rule:
        name:
            name
        input:
            again=lambda w, name=name: STALE.check_table(
                TABLES, f"{PATHS.root}/{name}.parquet"
            ),
            image_content=IMAGE_CONTENT["report"],
            files=files,
        output:
            parquet=f"{PATHS.root}/{name}.parquet",
            markdown=report(f"{PATHS.root}/{name}.md", category="standard"),
        log:
            PATHS.log(name),
        benchmark:
            PATHS.benchmark(name)
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            command=ARITHMETIC[name],
            settings=GIVEN_SETTINGS.file(TABLES[f"{PATHS.root}/{name}.parquet"]),
        shell:
            "{PYTHON_IN[report]} {params.command} {input.files:q} --settings {params.settings:q}"
            " --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


SECOND = f"{PATHS.root}/second_grader.parquet"


rule second_grader:
    input:
        again=lambda w: STALE.check_table(TABLES, SECOND),
        image_content=IMAGE_CONTENT["report"],
        counts=expand(PATHS.counts, part=common.parts(STUDY)),
        measures=f"{PATHS.root}/measures.parquet",
        claims=f"{PATHS.root}/claims.parquet",
    output:
        parquet=SECOND,
        markdown=report(f"{PATHS.root}/second_grader.md", category="standard"),
    log:
        PATHS.log("second_grader"),
    benchmark:
        PATHS.benchmark("second_grader")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(10),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[SECOND]),
        k=" ".join(map(str, STUDY.evaluation.k)),
    shell:
        "{PYTHON_IN[report]} evals.tables.second_grader --settings {params.settings:q} --counts {input.counts:q} --k {params.k}"
        " --measures {input.measures:q} --claims {input.claims:q} --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


STANDARD = f"{PATHS.root}/standard.parquet"


rule standard_page:
    input:
        again=lambda w: STALE.check_table(TABLES, STANDARD),
        image_content=IMAGE_CONTENT["report"],
        scores=PATHS.scores,
        answers=rules.answers.output.parquet,
        budget=BUDGET,
        second=SECOND,
        contamination=f"{PATHS.root}/contamination.parquet",
        measured=[f"{PATHS.root}/{name}.parquet" for name in THERE],
    output:
        parquet=STANDARD,
        markdown=report(f"{PATHS.root}/standard.md", category="standard"),
    log:
        PATHS.log("standard_page"),
    benchmark:
        PATHS.benchmark("standard_page")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[STANDARD]),
        measured=" ".join(
            f"--{name} {shlex.quote(f'{PATHS.root}/{name}.parquet')}" for name in THERE
        ),
    shell:
        "{PYTHON_IN[report]} evals.tables.standard --settings {params.settings:q} --scores {input.scores:q} --answers {input.answers:q}"
        " --budget {input.budget:q} --second {input.second:q} --contamination {input.contamination:q} {params.measured}"
        " --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule standard:
    input:
        rules.standard_page.output,
        rules.budget_figure.output,
