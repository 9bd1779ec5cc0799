# Problems: the training set (with its held-out validation part) and the benchmarks, checked against config/data.lock.yaml.

DATASETS = ["train", "validation", *STUDY.evaluation.benchmarks]
DOWNLOADS = STUDY.data.source == "hub"

# The head node has the network, compute nodes may not.
if DOWNLOADS:

    localrules:
        problems,


rule data:
    input:
        expand(PATHS.problems, dataset=DATASETS),


rule problems:
    input:
        config=PATHS.section.format(section="data"),
        lock="config/data.lock.yaml" if DOWNLOADS else ancient("config/data.lock.yaml"),
    output:
        PATHS.problems,
    params:
        limit=lambda w: (
            f"--limit {STUDY.evaluation.limit}"
            if STUDY.evaluation.limit and w.dataset in STUDY.evaluation.benchmarks
            else ""
        ),
    log:
        PATHS.log("problems", "dataset"),
    benchmark:
        PATHS.benchmark("problems", "dataset")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    priority: 100
    shell:
        PYTHON + " asymgrpo.tasks.prepare --config {input.config} --dataset {wildcards.dataset}"
        " {params.limit} --lock {input.lock} --out {output} > {log} 2>&1"
        " || {{ cat {log} >&2; exit 1; }}"
