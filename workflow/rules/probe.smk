# What one update of every arm does in the states of GRPO runs (asymgrpo/probe): no part of `all`; `snakemake probe` makes it.
from workflow.slurm.resources import growing, probing

PROBE_ASKS = probing(STUDY)
PROBED = [
    {"model": model, "seed": str(seed)}
    for model in STUDY.study.models
    for seed in STUDY.probe.seeds
]
PROBE_FIGURES = ("probe_effects", "probe_accuracy")


# The table of a trajectory. Its states lie beside it, out of Snakemake's reach: the job keeps those that are still good.
rule probe_states:
    input:
        again=lambda w: STALE.check(
            PATHS.probe_states.format(model=w.model, seed=w.seed),
            settings.probe(STUDY, w.model, int(w.seed)),
        ),
        image_content=IMAGE_CONTENT["train"],
        model=PATHS.base_manifest,
        problems=PATHS.problems.format(dataset="train"),
        held_out=PATHS.problems.format(dataset="validation"),
    output:
        PATHS.probe_states,
    log:
        PATHS.log("probe_states", "model", "seed"),
    benchmark:
        PATHS.benchmark("probe_states", "model", "seed")
    threads: PROBE_ASKS.cpus
    resources:
        cpus_per_task=PROBE_ASKS.cpus,
        gpu=lambda w: PROBE_ASKS.gpu,
        mem_mb=growing(PROBE_ASKS.mem_mb),
        runtime=growing(PROBE_ASKS.runtime),
    params:
        settings=lambda w: GIVEN_SETTINGS.file(
            settings.probe(STUDY, w.model, int(w.seed))
        ),
        model=lambda w: PATHS.base_model.format(model=w.model),
        checkpoints=PATHS.checkpoints,
    shell:
        "{PYTHON_IN[train]} asymgrpo.probe --settings {params.settings:q} --model {params.model:q} --problems {input.problems:q}"
        " --held-out {input.held_out:q} --checkpoints {params.checkpoints:q} --out {output:q} --threads {threads} > {log:q} 2>&1"


rule probe_table:
    input:
        again=lambda w: STALE.check_table(TABLES, PATHS.probes),
        image_content=IMAGE_CONTENT["report"],
        states=[PATHS.probe_states.format(**run) for run in PROBED],
    output:
        PATHS.probes,
    log:
        PATHS.log("probe_table"),
    benchmark:
        PATHS.benchmark("probe_table")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[PATHS.probes]),
    shell:
        "{PYTHON_IN[report]} evals.tables.probes --settings {params.settings:q} --states {input.states:q} --out {output:q} > {log:q} 2>&1"


rule probe_figure:
    input:
        image_content=IMAGE_CONTENT["report"],
        probes=PATHS.probes,
    output:
        multiext(f"{PATHS.figures}/{{figure}}", ".pdf", ".json"),
        png=report(f"{PATHS.figures}/{{figure}}.png", category="figures"),
    log:
        PATHS.log("probe_figure", "figure"),
    benchmark:
        PATHS.benchmark("probe_figure", "figure")
    wildcard_constraints:
        figure="|".join(PROBE_FIGURES),
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        settings=GIVEN_SETTINGS.file(TABLES[PATHS.probes]),
        prefix=f"{PATHS.figures}/{{figure}}",
    shell:
        "{PYTHON_IN[report]} evals.figures {wildcards.figure} --settings {params.settings:q} --probes {input.probes:q}"
        " --out-prefix {params.prefix:q} > {log:q} 2>&1"


rule probe:
    input:
        PATHS.probes,
        expand(
            f"{PATHS.figures}/{{figure}}.{{form}}",
            figure=PROBE_FIGURES,
            form=["pdf", "png"],
        ),
