# The leaves of the graph out of a bundle, in the place of data, training, sampling and grading.
from pathlib import Path

from workflow import records
from workflow.slurm.resources import growing

UNPACKED = [f"{PATHS.root}/{name}" for name in bundle.unpacked(BUNDLE)]
records.share(UNPACKED)


# No input: Snakemake takes a checksum of each input for each output, here of megabytes for a thousand files. A bundle is known by its
# manifest, which has the hash of every file.
rule unpack:
    input:
        one_study=lambda w: bundle.need_one_study(SETTINGS),
        again=lambda w: STALE.check_text(
            bundle.manifest(PATHS.root), BUNDLE.manifest_text
        ),
        whole=lambda w: STALE.check_outputs(
            bundle.manifest(PATHS.root),
            PATHS.root,
            lambda: BUNDLE.differing(Path(PATHS.root)),
        ),
    output:
        UNPACKED,
    log:
        PATHS.log("unpack"),
    benchmark:
        PATHS.benchmark("unpack")
    priority: 100
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        bundle=BUNDLE.path,
        out=lambda w: PATHS.root,
    message:
        f"Unpacking {len(BUNDLE.files)} files of {BUNDLE.path}."
    shell:
        "{PYTHON} evals.artifacts.unpack --bundle {params.bundle:q} --out {params.out:q} > {log:q} 2>&1"
