# What Snakemake has to do beside running jobs when SLURM runs them.
from workflow import orphans

if not workflow.remote_exec:
    orphans.understand_sacct(workflow.basedir)


# Before the first job is submitted: none of an earlier, killed call may still be at work on the same files.
onstart:
    if workflow.executor_plugin.name == "slurm":
        orphans.cancel(orphans.keys(workflow.dag.needrun_jobs()), STUDY.results)
