# select -> sample -> grade (each of a run) -> score (study). Only sampling is expensive.
import shlex

from workflow.slurm.resources import grading, growing, sampling

SAMPLING, GRADING = sampling(STUDY), grading(STUDY)


# A second of one CPU: not worth a place in a queue.
localrules:
    select,


rule select:
    input:
        again=lambda w: STALE.check_selection(
            PATHS.selection.format(model=w.model, arm=w.arm, seed=w.seed),
            STUDY.evaluation.selection,
            PATHS.done.format(model=w.model, arm=w.arm, seed=w.seed),
        ),
        evaluations=PATHS.evaluations,
        image_content=IMAGE_CONTENT["evaluate"],  # not report: sampling follows, and must not be made again for a plot's sake
    output:
        PATHS.selection,
    log:
        PATHS.log("select", "model", "arm", "seed"),
    benchmark:
        PATHS.benchmark("select", "model", "arm", "seed")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        rules=" ".join(STUDY.evaluation.selection),
    shell:
        "{PYTHON_IN[evaluate]} evals.select --evaluations {input.evaluations:q} --rule {params.rules} --model {wildcards.model}"
        " --arm {wildcards.arm} --train-seed {wildcards.seed} --out {output:q} > {log:q} 2>&1"


# All benchmarks of a run in one job, which loads libraries, sampler and weights once. Its output is the list of the tables; the tables
# lie beside it, out of Snakemake's reach: the job keeps those that are still good (evals/sampled.py).
rule sample:
    input:
        unpack(lambda w: common.weights_inputs(PATHS, w.model, w.arm, w.seed)),
        again=lambda w: STALE.check_sampled(
            PATHS.sampled.format(model=w.model, arm=w.arm, seed=w.seed),
            common.sampled_of(PLAN, w),
        ),
        image_content=IMAGE_CONTENT["evaluate"],
        problems=expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks),
    output:
        PATHS.sampled,
    log:
        PATHS.log("sample", "model", "arm", "seed"),
    benchmark:
        PATHS.benchmark("sample", "model", "arm", "seed")
    threads: SAMPLING.cpus
    resources:
        cpus_per_task=SAMPLING.cpus,
        gpu=lambda w: SAMPLING.gpu,
        mem_mb=growing(SAMPLING.mem_mb),
        runtime=growing(SAMPLING.runtime),
    params:
        settings=lambda w: GIVEN_SETTINGS.file(common.sampled_of(PLAN, w)),
        weights=lambda w: common.weights(PATHS, w.model, w.arm, w.seed),
        selection=lambda w, input: (
            f"--selection {shlex.quote(input.selection)}"
            if "selection" in input.keys()
            else ""
        ),
    shell:
        "{PYTHON_IN[sample]} evals.sample --settings {params.settings:q} --problems {input.problems:q}"
        " --checkpoints {params.weights:q} {params.selection} --threads {threads} --out {output:q} > {log:q} 2>&1"


rule samples:
    input:
        [PATHS.sampled.format(**run) for run in EVALUATED],


rule grade:
    input:
        again=lambda w: STALE.check(
            PATHS.graded.format(model=w.model, arm=w.arm, seed=w.seed),
            common.graded_of(PLAN, w),
        ),
        image_content=IMAGE_CONTENT["evaluate"],
        sampled=PATHS.sampled,
        problems=expand(PATHS.problems, dataset=STUDY.evaluation.benchmarks),
    output:
        PATHS.graded,
    log:
        PATHS.log("grade", "model", "arm", "seed"),
    benchmark:
        PATHS.benchmark("grade", "model", "arm", "seed")
    threads: GRADING.cpus
    resources:
        cpus_per_task=GRADING.cpus,
        mem_mb=growing(GRADING.mem_mb),
        runtime=growing(GRADING.runtime),
    params:
        settings=lambda w: GIVEN_SETTINGS.file(common.graded_of(PLAN, w)),
        samples=lambda w: [
            PATHS.samples.format(model=w.model, arm=w.arm, seed=w.seed, benchmark=name)
            for name in STUDY.evaluation.benchmarks
        ],
    shell:
        "{PYTHON_IN[evaluate]} evals.grade --settings {params.settings:q} --listed {input.sampled:q} --samples {params.samples:q}"
        " --problems {input.problems:q} --workers {threads} --out {output:q} > {log:q} 2>&1"


rule graded:
    input:
        [PATHS.graded.format(**run) for run in EVALUATED],
