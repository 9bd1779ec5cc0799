# select -> sample (checkpoint x benchmark) -> grade (run) -> score (study). Only sampling is expensive.
import shlex

from workflow.resources import grading, growing, sampling

SAMPLING, GRADING = sampling(STUDY), grading(STUDY)


# A second of one CPU: not worth a place in a queue.
localrules:
    select,


rule select:
    input:
        evaluations=PATHS.evaluations,
        image=IMAGE["evaluate"],  # not report: sampling follows, and must not be made again for a plot's sake
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


rule sample:
    input:
        unpack(lambda w: common.checkpoint_inputs(PATHS, w.model, w.arm, w.seed)),
        image=IMAGE["evaluate"],
        config=PATHS.model_section.format(section="evaluation", model="{model}"),
        problems=lambda w: PATHS.problems.format(dataset=w.benchmark),
    output:
        PATHS.samples,
    log:
        PATHS.log("sample", "model", "arm", "seed", "benchmark"),
    benchmark:
        PATHS.benchmark("sample", "model", "arm", "seed", "benchmark")
    threads: SAMPLING.cpus
    resources:
        cpus_per_task=SAMPLING.cpus,
        gpu=lambda w: SAMPLING.gpu,
        mem_mb=growing(SAMPLING.mem_mb),
        runtime=growing(SAMPLING.runtime),
    params:
        template=lambda w: common.template_of(STUDY, w.model, w.arm),
        selection=lambda w, input: (
            ""
            if common.is_base(w.arm)
            else f"--selection {shlex.quote(input.selection)}"
        ),
        dtype=lambda w: STUDY.train_of(w.model).dtype,
    shell:
        "{PYTHON_IN[sample]} evals.sample --config {input.config:q} --problems {input.problems:q}"
        " --benchmark {wildcards.benchmark} --template {params.template} --model {wildcards.model}"
        " --arm {wildcards.arm} --train-seed {wildcards.seed} --checkpoints {input.checkpoints:q}"
        " {params.selection} --dtype {params.dtype} --threads {threads} --out {output:q} 2>&1 | tee {log:q}"


rule samples:
    input:
        [
            PATHS.samples.format(**run, benchmark=b)
            for run in EVALUATED
            for b in STUDY.evaluation.benchmarks
        ],


rule grade:
    input:
        image=IMAGE["evaluate"],
        samples=expand(
            PATHS.samples, benchmark=STUDY.evaluation.benchmarks, allow_missing=True
        ),
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
    shell:
        "{PYTHON_IN[evaluate]} evals.grade --samples {input.samples:q} --problems {input.problems:q} --workers {threads}"
        " --out {output:q} > {log:q} 2>&1"


rule graded:
    input:
        [PATHS.graded.format(**run) for run in EVALUATED],
