# Out of a bundle one job makes all tables and one draws all figures, each on two cores: starting Python takes longer than most of
# them (evals.together). The bundle's manifest stands for all of its files, as in unpack.smk.
from workflow import records
from workflow.slurm.resources import growing

DRAWN = {
    name: figures.made(
        name, FIGURES[name], FIGURE_SETTINGS[name], PATHS.figures, GIVEN_SETTINGS
    )
    for name in FIGURES
}
OF_DOSES = figures.made(
    "dose_response",
    {"doses": DOSE_TABLES[:1]},
    TABLES[DOSE_TABLES[0]],
    PATHS.figures,
    GIVEN_SETTINGS,
)
ALL_TABLES = tables.together(MADE.stages(doses=DOSES_DECLARED))
ALL_FIGURES = tables.together(
    [[[made] for made in [*DRAWN.values(), *([OF_DOSES] if DOSES_DECLARED else [])]]]
)
records.share(ALL_TABLES.outputs)


rule all_tables:
    input:
        again=lambda w: STALE.check_tables(TABLES, ALL_TABLES.outputs),
        image_content=IMAGE_CONTENT["report"],
        bundle=bundle.manifest(PATHS.root),
    output:
        ALL_TABLES.outputs,
    log:
        PATHS.log("all_tables"),
    benchmark:
        PATHS.benchmark("all_tables")
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        settings=ALL_TABLES.settings,
        lists=ALL_TABLES.lists,
        command=ALL_TABLES.command,
    shell:
        "{PYTHON_IN[report]} evals.together --processes {threads} {params.command} > {log:q} 2>&1"


if ALL_FIGURES.outputs:
    records.share(ALL_FIGURES.outputs)

    rule all_figures:
        input:
            image_content=IMAGE_CONTENT["report"],
            bundle=bundle.manifest(PATHS.root),
            tables=sorted(
                {
                    path
                    for name in FIGURES
                    for path in figures.tables(FIGURES[name])
                    if path in ALL_TABLES.outputs
                }
                | set(DOSE_TABLES[:1] if DOSES_DECLARED else [])
            ),
        output:
            ALL_FIGURES.outputs,
        log:
            PATHS.log("all_figures"),
        benchmark:
            PATHS.benchmark("all_figures")
        threads: 2
        resources:
            mem_mb=growing(4000),
            runtime=growing(30),
        params:
            settings=ALL_FIGURES.settings,
            lists=ALL_FIGURES.lists,
            command=ALL_FIGURES.command,
        shell:
            "{PYTHON_IN[report]} evals.together --processes {threads} {params.command} > {log:q} 2>&1"
