# base and wheels -> images -> a proof written inside of each. Nothing without containers.
# Jobs do not name an image file as input; workflow/ready.py makes what they need by these rules, before the first job.
BUILT = IMAGES.to_build


# Only the base and the wheels need a network. With build: job the images themselves are made where the jobs run.
localrules:
    base_image,
    wheels,
    image_document,
    image_content,


if STUDY.containers.build == "local":

    localrules:
        image,


# What images are made from, beside them: studies share both.
DOCUMENTS = enter.documents(IMAGES)
ABOUT_IMAGES = settings.dumps(enter.settings_of(IMAGES))
BUILT_HERE = f"{enter.DEFINITIONS}/built"


rule image_document:
    input:
        again=lambda w: STALE.check_text(
            f"{BUILT_HERE}/{w.document}", DOCUMENTS[f"{BUILT_HERE}/{w.document}"]
        ),
    output:
        f"{BUILT_HERE}/{{document}}",
    log:
        PATHS.log("image_document", "document"),
    wildcard_constraints:
        document=r".*\.recipe\.json|wheels/[^/]*\.txt",
    priority: 100
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        digest=lambda w: enter.digest(DOCUMENTS[f"{BUILT_HERE}/{w.document}"]),
    shell:
        "{PYTHON} containers.images document --settings {ABOUT_IMAGES:q} --out {output:q} > {log:q} 2>&1"


# What of an image its results depend on. No job depends on the image file: Snakemake would make results again whenever it was.
rule image_content:
    input:
        again=lambda w: STALE.check_changed(
            IMAGES.content.format(image=w.image),
            enter.changed_content(IMAGES, w.image),
        ),
    output:
        IMAGES.content,
    log:
        PATHS.log("image_content", "image"),
    wildcard_constraints:
        image="|".join(enter.NAMES),
    priority: 100
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "{PYTHON} containers.images content --settings {ABOUT_IMAGES:q} --image {wildcards.image} --out {output:q} > {log:q} 2>&1"


rule base_image:
    input:
        IMAGES.base_recipe,
    output:
        sif=IMAGES.base,
        record=IMAGES.base_record,
    log:
        PATHS.log("base_image"),
    benchmark:
        PATHS.benchmark("base_image")
    priority: 100
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        kind=STUDY.containers.base,
        lock=STUDY.containers.base_lock,
    shell:
        "{PYTHON} containers.images base --kind {params.kind} --lock {params.lock:q} --out {output.sif:q} > {log:q} 2>&1"


rule wheels:
    input:
        IMAGES.requirements,
    output:
        directory(IMAGES.wheels),
    log:
        PATHS.log("wheels", "lock"),
    benchmark:
        PATHS.benchmark("wheels", "lock")
    wildcard_constraints:
        lock="[^/.]+",
    priority: 100
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "{PYTHON} containers.images wheels --lock {input:q} --out {output:q} > {log:q} 2>&1"


rule image:
    input:
        recipe=IMAGES.recipe("{image}"),
        base=IMAGES.base,
        wheels=lambda w: IMAGES.wheels_of(w.image),
    output:
        IMAGES.built("{image}"),
    log:
        PATHS.log("image", "image"),
    benchmark:
        PATHS.benchmark("image", "image")
    wildcard_constraints:
        image="|".join(BUILT) or "none",
    priority: 100
    threads: 2
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        lock=lambda w: IMAGES.requirements_of(w.image),
    shell:
        "{PYTHON} containers.images build --image {wildcards.image} --base {input.base:q} --lock {params.lock:q}"
        " --recipe {input.recipe:q} --wheels {input.wheels:q} --out {output:q} > {log:q} 2>&1"


# The beginning of the command is looked up when the job starts ({PROOF:IMAGE}), since as a parameter, which has the commit of the
# code in it, it would make the proofs again after every commit.
rule prove:
    input:
        IMAGES.content,
    output:
        report(f"{PATHS.root}/proofs/{{image}}.json", category="proofs"),
    log:
        PATHS.log("prove", "image"),
    benchmark:
        PATHS.benchmark("prove", "image")
    wildcard_constraints:
        image="|".join(enter.NAMES),
    threads: 1
    resources:
        mem_mb=4000,
        runtime=10,
    shell:
        "{PROOF:{wildcards.image}} containers.proof --content {input:q} --out {output:q} > {log:q} 2>&1"


rule images:
    input:
        [IMAGES.sif(image) for image in BUILT],


rule proofs:
    input:
        [f"{PATHS.root}/proofs/{image}.json" for image in enter.NAMES if IMAGES.on],
