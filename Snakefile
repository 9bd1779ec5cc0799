# From data to figures: data -> base model -> train (arm x model x seed) -> sample -> grade -> score -> table1 -> figures.
# `snakemake -n` shows what would run; every job is a plain command, printed with -p, that works by hand.
import sys

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)

from asymgrpo.errors import InputError
from asymgrpo.lean import seldom_collected
from asymgrpo.study import layout, on_top, settings, stored, user_arms
from containers import enter, host
from snakemake.logging import logger
from workflow import (
    bundle,
    common,
    frozen,
    given,
    locked,
    progress,
    protocols,
    stale,
    tables,
)
from workflow.checks import load
from workflow.read_once import read_once
from workflow.slurm import launch

seldom_collected()
GIVEN = dict(config)  # on the command line
if not workflow.remote_exec:
    progress.instead_of_the_banner(logger, lambda: workflow.dryrun)


configfile: host.of_project("config/default.yaml")


# Data, training and grading are done here, or a bundle of a finished study takes their place: --config artifacts=BUNDLE.
try:
    if not workflow.remote_exec:
        on_top.take(config, workflow.overwrite_configfiles, stored.ROOT)
    read_once(workflow.overwrite_configfiles)
    BUNDLE, SETTINGS = bundle.bundle_of(GIVEN), bundle.settings_of(GIVEN)
    if not workflow.remote_exec:
        user_arms.add_sources(config, workflow.overwrite_configfiles)
    PROTOCOL = None if workflow.remote_exec or BUNDLE else protocols.take(config)
    GIVEN_OR_STORED = bundle.configuration(BUNDLE, config, GIVEN) if BUNDLE else config
    STUDY = load(frozen.configuration(GIVEN_OR_STORED, workflow.remote_exec))
    PLAN = settings.plan_of(STUDY)
    protocols.require(PROTOCOL, STUDY)
except InputError as error:
    raise WorkflowError(str(error)) from None

PATHS = layout.Layout(STUDY)
RUNS = layout.trained_runs(STUDY)
MAIN_RUNS = layout.main_runs(STUDY)
EVALUATED = layout.with_base(STUDY, RUNS)
MAIN_EVALUATED = layout.with_base(STUDY, MAIN_RUNS)
TABLES = common.tables(STUDY, PLAN, PATHS)  # file -> what it depends on
GIVEN_SETTINGS = given.GivenSettings(PATHS.root)
MADE = tables.Tables(STUDY, PATHS, TABLES, GIVEN_SETTINGS)  # how each table is made
STALE = stale.Stale(workflow)
LOCKED = locked.Locked(host.of_project(common.LOCK))
IMAGES = enter.Images(STUDY)
PYTHON = host.python()  # on the host: only for what must be there
PYTHON_IN = enter.prefixes(STUDY, IMAGES)  # in an image, if there are containers
PROOF = enter.Proof(PYTHON_IN)
IMAGE_CONTENT = {image: IMAGES.inputs(image) for image in enter.NAMES}
LAUNCH = launch.prefix(STUDY)

# Where no cluster gives each job its own GPU, jobs that need some run one after another.
if STUDY.machine.has_gpus and workflow.resource_settings.nodes is None:
    workflow.global_resources.setdefault("gpu", 1)

# Nothing is written while this file is read: a dry run, or a call that finds the folder locked, leaves every result as it is.
shell.prefix(enter.shell_prelude(IMAGES))


wildcard_constraints:
    model="[^/]+",
    arm="[^/]+",
    seed=r"\d+",
    benchmark="[^/]+",
    dataset="[^/]+",


include: "workflow/rules/containers.smk"


if BUNDLE:

    include: "workflow/rules/unpack.smk"

else:

    include: "workflow/rules/study.smk"
    include: "workflow/rules/data.smk"
    include: "workflow/rules/base_model.smk"
    include: "workflow/rules/train.smk"
    include: "workflow/rules/evaluate.smk"
    include: "workflow/rules/cost.smk"
    include: "workflow/rules/probe.smk"
    include: "workflow/rules/tables.smk"


include: "workflow/rules/theory.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/dose.smk"


rule tables:
    input:
        PATHS.study,
        MADE.files(),
        DOSE_TABLES if DOSES_DECLARED else [],


include: "workflow/rules/pool.smk"
include: "workflow/rules/figures.smk"


if BUNDLE:

    include: "workflow/rules/together.smk"


include: "workflow/rules/standard.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/artifacts.smk"
include: "workflow/rules/publish.smk"
include: "workflow/rules/cluster.smk"


rule all:
    default_target: True
    input:
        THEORY,
        rules.controls.input,
        rules.tables.input,
        rules.figures.input,
        rules.proofs.input,
