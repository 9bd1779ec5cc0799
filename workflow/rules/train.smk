# One job per model x arm x seed. Checkpoints lie outside the outputs: a killed job continues where it was.

SELECTION_SETS = {
    name: PATHS.problems.format(dataset=name) for name in common.selection_sets(STUDY)
}


rule train:
    input:
        config=PATHS.model_section.format(section="train", model="{model}"),
        arm=PATHS.arm,
        model=PATHS.base_model,
        problems=PATHS.problems.format(dataset="train"),
        sets=list(SELECTION_SETS.values()),
        # as for the base model: all data checked first
        checked=ancient(expand(PATHS.problems, dataset=DATASETS)),
    output:
        done=f"{PATHS.run}/done.json",
        conventions=f"{PATHS.run}/conventions.json",
        metrics=f"{PATHS.run}/metrics.parquet",
        timings=f"{PATHS.run}/timings.parquet",
        evaluations=f"{PATHS.run}/eval.parquet",
        rollouts=f"{PATHS.run}/rollouts.parquet",
        candidates=directory(f"{PATHS.run}/candidates"),
    log:
        PATHS.log("train", "model", "arm", "seed"),
    benchmark:
        PATHS.benchmark("train", "model", "arm", "seed")
    priority: 10
    threads: 1
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        template=lambda w: STUDY.models[w.model].template,
        sets=" ".join(
            f"--evaluate {name}={path}" for name, path in SELECTION_SETS.items()
        ),
        checkpoints=PATHS.checkpoints,
        out=PATHS.run,
    shell:
        "{PYTHON} asymgrpo.train --config {input.config} --arm {input.arm} --model {input.model}"
        " --template {params.template} --problems {input.problems} {params.sets} --seed {wildcards.seed}"
        " --checkpoints {params.checkpoints} --out {params.out} --threads {threads} 2>&1 | tee {log}"


rule trained:
    input:
        [rules.train.output.done.format(**run) for run in RUNS],
