# Out of a bundle all tables are made by two processes, since starting Python takes longer than most of them: first what figures are
# drawn from, then the others beside the figures. The bundle's manifest stands for all of its files, as in unpack.smk.
from workflow.slurm.resources import growing

MADE_TOGETHER = {
    "tables_for_figures": tables.together(MADE.for_figures(), frames=False),
    "other_tables": tables.together(MADE.others(), frames=True),
}

for part, made in MADE_TOGETHER.items():

    rule:
        name:
            part
        input:
            again=lambda w, made=made: STALE.check_tables(TABLES, made.outputs),
            image_content=IMAGE_CONTENT["report"],
            bundle=bundle.manifest(PATHS.root),
            tables=(
                MADE_TOGETHER["tables_for_figures"].outputs
                if part == "other_tables"
                else []
            ),
        output:
            made.outputs,
        log:
            PATHS.log(part),
        benchmark:
            PATHS.benchmark(part)
        priority: 30 if part == "tables_for_figures" else 0
        threads: 1
        resources:
            mem_mb=growing(4000),
            runtime=growing(30),
        params:
            settings=made.settings,
            lists=made.lists,
            command=made.command,
        shell:
            "{PYTHON_IN[report]} {params.command} > {log:q} 2>&1"
