# The base model under several prompts: how much of a score is the prompt's.
from workflow.slurm.resources import growing

TEMPLATE_ARMS = [
    common.BASE,
    *(f"{common.BASE}@{t}" for t in STUDY.evaluation.control_templates),
]

TEMPLATES = f"{PATHS.controls}/templates.parquet"


rule control:
    input:
        again=lambda w: STALE.check_table(TABLES, TEMPLATES.format(model=w.model)),
        image_content=IMAGE_CONTENT["report"],
        graded=[
            PATHS.graded.format(model="{model}", arm=arm, seed=0)
            for arm in TEMPLATE_ARMS
        ],
    output:
        parquet=f"{PATHS.controls}/templates.parquet",
        markdown=report(f"{PATHS.controls}/templates.md", category="controls"),
    log:
        PATHS.log("control", "model"),
    benchmark:
        PATHS.benchmark("control", "model")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        settings=lambda w: GIVEN_SETTINGS.file(TABLES[TEMPLATES.format(model=w.model)]),
        k=" ".join(map(str, STUDY.evaluation.k)),
        draws=STUDY.evaluation.bootstrap_draws,
        seed=STUDY.evaluation.bootstrap_seed,
    shell:
        "{PYTHON_IN[report]} evals.tables.controls --settings {params.settings:q} --graded {input.graded:q} --k {params.k} --draws {params.draws} --seed {params.seed}"
        " --out {output.parquet:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule controls:
    input:
        [
            rules.control.output.parquet.format(model=model)
            for model in STUDY.study.models
            if STUDY.evaluation.control_templates
        ],
