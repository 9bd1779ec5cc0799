# What Snakemake has to do beside running jobs.
from workflow import ready, records, scheduling
from workflow.slurm import orphans

records.keep_of_failed_jobs()
if not workflow.remote_exec:
    orphans.understand_sacct(workflow.basedir)


# Before the first job: none of an earlier, killed call may still be at work on the same files; data and images that jobs need must
# be there. Only now, with the folder locked and jobs to run, may anything be written.
onstart:
    needed = list(workflow.dag.needrun_jobs())
    progress.instead_of_descriptions(logger, needed)
    scheduling.only_when_a_job_ends(workflow.scheduler)
    ready.check_data(STUDY, {job.rule.name for job in needed})
    if workflow.executor_plugin.name == "slurm":
        orphans.cancel(orphans.keys(needed), STUDY.results)
    GIVEN_SETTINGS.write(needed)
    ready.forget_samples(STALE.forced_by_hand(needed))
    if any(job.rule.name == "train" for job in needed):
        ready.write_operation(STUDY, PATHS.operation)
    if IMAGES.on:
        enter.make_bound_folders(STUDY)
        ready.make(
            IMAGES,
            [job.shellcmd for job in needed if job.shellcmd],
            config,
            sys.argv,
        )


# The runs of a bundle were trained elsewhere: whatever lies in the folder of checkpoints is of other calls.
if not BUNDLE:

    onsuccess:
        ready.forget_accepted(workflow.dag, RUNS, PATHS.done, STUDY.checkpoints)

    onerror:
        ready.forget_accepted(workflow.dag, RUNS, PATHS.done, STUDY.checkpoints)
