# What Snakemake has to do beside running jobs when SLURM runs them.
import os
import shutil

from workflow import orphans

# Snakemake's plugin must understand what sacct says of a job that was cancelled by hand: profiles/slurm/bin/sacct.
if shutil.which("sacct") and not workflow.remote_exec:
    os.environ["PATH"] = (
        f"{workflow.basedir}/workflow/profiles/slurm/bin:{os.environ['PATH']}"
    )


# Before the first job of a call: no job of an earlier, killed call may still be at work on the same files.
onstart:
    orphans.cancel(orphans.keys(workflow.dag.needrun_jobs()), STUDY.results)
