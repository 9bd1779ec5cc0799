# Before the first job of a call: no job of an earlier, killed call may still be at work on the same files.
from workflow import orphans


onstart:
    orphans.cancel(
        orphans.left_behind(workflow.dag.needrun_jobs(), workflow.persistence)
    )
