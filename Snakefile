# From data to figures: data -> base model -> train (arm x model x seed) -> sample -> grade -> score -> table1 -> figures.
# `snakemake -n` shows what would run; every job is a plain command, printed with -p, that works by hand.
import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)

from asymgrpo.config import ConfigError
from workflow import common, launch
from workflow.checks import load


configfile: "config/default.yaml"


try:
    STUDY = load(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

PATHS = common.Layout(STUDY)
RUNS = common.trained_runs(STUDY)
MAIN_RUNS = common.main_runs(STUDY)
EVALUATED = common.with_base(STUDY, RUNS)
MAIN_EVALUATED = common.with_base(STUDY, MAIN_RUNS)
PYTHON = common.python()
LAUNCH = launch.prefix(STUDY)
common.write_sections(STUDY, PATHS)


wildcard_constraints:
    model="[^/]+",
    arm="[^/]+",
    seed=r"\d+",
    benchmark="[^/]+",
    dataset="[^/]+",


include: "workflow/rules/data.smk"
include: "workflow/rules/base_model.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/cost.smk"
include: "workflow/rules/cluster.smk"


# Containers and the cluster: containers/ holds the images, workflow/profiles/ the profiles.
rule all:
    default_target: True
    input:
        rules.controls.input,
        rules.tables.input,
        rules.figures.input,
