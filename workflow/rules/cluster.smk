# What Snakemake has to do beside running jobs when SLURM runs them.
import signal

from workflow import orphans, signals

# In a job: the warning before its time limit (workflow/profiles/slurm) must reach training.
if workflow.remote_exec:
    signals.pass_on(signal.SIGUSR1)


# Before the first job of a call: no job of an earlier, killed call may still be at work on the same files.
onstart:
    orphans.cancel(orphans.keys(workflow.dag.needrun_jobs()), STUDY.results)
