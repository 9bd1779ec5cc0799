# What Snakemake has to do beside running jobs when SLURM runs them.
from workflow import orphans

if not workflow.remote_exec:
    orphans.understand_sacct(workflow.basedir)


# Before the first job of a call: no job of an earlier, killed call may still be at work on the same files.
onstart:
    orphans.cancel(orphans.keys(workflow.dag.needrun_jobs()), STUDY.results)
