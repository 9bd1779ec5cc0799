# What Snakemake has to do beside running jobs.
from workflow import orphans, ready, records

records.keep_of_failed_jobs()
if not workflow.remote_exec:
    orphans.understand_sacct(workflow.basedir)


# Before the first job is submitted: none of an earlier, killed call may still be at work on the same files, and the images that
# jobs enter must be there.
onstart:
    needed = list(workflow.dag.needrun_jobs())
    if workflow.executor_plugin.name == "slurm":
        orphans.cancel(orphans.keys(needed), STUDY.results)
    if IMAGES.on:
        ready.make(
            IMAGES,
            [job.shellcmd for job in needed if job.shellcmd],
            config,
            sys.argv,
        )
