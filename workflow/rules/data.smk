# Problems: the training set (with its held-out validation part) and the benchmarks, checked against config/data.lock.yaml.
import shlex

from workflow.slurm.resources import growing

DATASETS = ["train", "validation", *STUDY.evaluation.benchmarks]

# Where files lie decides nothing: their content is checked.
DATA_DIR = f"--data-dir {shlex.quote(str(STUDY.data.dir))}" if STUDY.data.dir else ""


# The head node has the network, compute nodes may not; and from files or seeds a data set takes a second.
localrules:
    problems,


rule data:
    input:
        expand(PATHS.problems, dataset=DATASETS),


rule problems:
    input:
        again=lambda w: STALE.check(
            PATHS.problems.format(dataset=w.dataset),
            PLAN["problems"][w.dataset],
            LOCKED.data(PLAN["problems"][w.dataset]),
        ),
        image_content=IMAGE_CONTENT["train"],
        lock=ancient(host.of_project(common.LOCK)),  # the first fetch writes revisions into it; LOCKED compares what counts
    output:
        PATHS.problems,
    log:
        PATHS.log("problems", "dataset"),
    benchmark:
        PATHS.benchmark("problems", "dataset")
    priority: 100
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        options=lambda w: common.prepare_options(PLAN["problems"][w.dataset]),
    shell:
        "{PYTHON_IN[fetch]} asymgrpo.tasks.prepare {params.options} {DATA_DIR} --lock {input.lock:q} --out {output:q}"
        " > {log:q} 2>&1"
