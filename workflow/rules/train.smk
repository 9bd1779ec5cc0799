# One job per model x arm x seed. Checkpoints lie outside the outputs: a killed job continues where it was.
import shlex

ASKS = {name: launch.request(STUDY, name) for name in STUDY.study.models}

SELECTION_SETS = {
    name: PATHS.problems.format(dataset=name) for name in layout.selection_sets(STUDY)
}

CHECKPOINTS = (
    PATHS.checkpoints
)  # no parameter: another folder for what is unfinished changes no result


rule train:
    input:
        again=lambda w: STALE.check(
            PATHS.done.format(model=w.model, arm=w.arm, seed=w.seed),
            settings.run(PLAN, w.model, w.arm, int(w.seed)),
        ),
        image_content=IMAGE_CONTENT["train"],
        model=PATHS.base_manifest,
        problems=PATHS.problems.format(dataset="train"),
        sets=list(SELECTION_SETS.values()),
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
    threads: lambda w: STUDY.train_of(w.model).ranks_per_node * STUDY.machine.cpus_per_rank
    resources:
        nodes=lambda w: ASKS[w.model]["nodes"],
        gpu=lambda w: ASKS[w.model]["gpu"],
        mpi=lambda w: ASKS[w.model]["mpi"],
        tasks=lambda w: ASKS[w.model]["tasks"],
        tasks_per_node=lambda w: ASKS[w.model]["tasks_per_node"],
        tasks_per_gpu=lambda w: ASKS[w.model]["tasks_per_gpu"],
        cpus_per_task=lambda w: ASKS[w.model]["cpus_per_task"],
        mem_mb=lambda w, attempt: ASKS[w.model]["mem_mb"] * (3 + attempt) // 4,
        runtime=lambda w: ASKS[w.model]["runtime"],
    params:
        settings=lambda w: GIVEN_SETTINGS.file(
            settings.run(PLAN, w.model, w.arm, int(w.seed))
        ),
        operation=PATHS.operation,
        model=lambda w: PATHS.base_model.format(model=w.model),
        sets=" ".join(
            f"--evaluate {shlex.quote(f'{name}={path}')}"
            for name, path in SELECTION_SETS.items()
        ),
        out=PATHS.run,
    shell:
        "{LAUNCH} --operation {params.operation:q} --cpus-per-rank {resources.cpus_per_task} --"
        " {PYTHON_IN[train]} asymgrpo.training --settings {params.settings:q} --operation {params.operation:q}"
        " --model {params.model:q} --problems {input.problems:q} {params.sets}"
        " --checkpoints {CHECKPOINTS:q} --out {params.out:q} --threads {resources.cpus_per_task}"
        " ${{SLURM_JOB_ID:+--stop-after {resources.runtime}}} > {log:q} 2>&1"


rule trained:
    input:
        [rules.train.output.done.format(**run) for run in RUNS],
