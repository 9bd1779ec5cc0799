# Out of a bundle all tables and figures are made by four processes, since starting Python takes longer than most of them. Two are at
# work at a time: tables that figures are drawn from beside figures that need no table, then the other tables beside the other figures.
# The bundle's manifest stands for all of its files, as in unpack.smk. (Snakemake takes a checksum of each input for each output.)
from workflow.slurm.resources import growing

DRAWN = {
    name: figures.made(
        name, FIGURES[name], FIGURE_SETTINGS[name], PATHS.figures, GIVEN_SETTINGS
    )
    for name in FIGURES
}
OF_TRAINING = [name for name in FIGURES if set(FIGURES[name]) <= {"metrics", "probes"}]
OF_THEORY = [name for name in FIGURES if set(FIGURES[name]) == {"theory"}]
OF_DOSES = figures.made(
    "dose_response",
    {"doses": DOSE_TABLES[:1]},
    TABLES[DOSE_TABLES[0]],
    PATHS.figures,
    GIVEN_SETTINGS,
)
TOGETHER = {
    "tables_for_figures": tables.together(MADE.for_figures(), frames=False),
    # With figures of the theory, so that both halves take as long.
    "other_tables": tables.together(
        [
            *MADE.others(),
            *([DOSE_RESPONSE, OF_DOSES] if DOSES_DECLARED else []),
            *(DRAWN[name] for name in OF_THEORY),
        ],
        frames=True,
    ),
    "draw_training": tables.together(
        [DRAWN[name] for name in OF_TRAINING], frames=True
    ),
    "draw_scores": tables.together(
        [DRAWN[name] for name in FIGURES if name not in [*OF_TRAINING, *OF_THEORY]],
        frames=True,
    ),
}
FIRST = ("tables_for_figures", "draw_training")

for part, made in TOGETHER.items():
    if not made.outputs:
        continue

    rule:
        name:
            part
        input:
            again=lambda w, made=made: STALE.check_tables(TABLES, made.outputs),
            image_content=IMAGE_CONTENT["report"],
            bundle=bundle.manifest(PATHS.root),
            tables=([] if part in FIRST else TOGETHER["tables_for_figures"].outputs),
        output:
            made.outputs,
        log:
            PATHS.log(part),
        benchmark:
            PATHS.benchmark(part)
        priority: 30 - list(TOGETHER).index(part)
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
