"""How the process that judges pairs ends, and which ends are verdicts. Imports nothing heavy: every worker starts with it."""

import signal

RENEW = 64
"""Exit status: "fork me again", no verdict is owed."""
SPENT = 65
"""Exit status: judging the pair raised, for want of memory or of stack."""

BY_THE_PAIR = (SPENT, -signal.SIGPROF, -signal.SIGSEGV, -signal.SIGABRT)
"""How a pair ends it: by an error, by its time, or in C, where a stack that cannot grow and memory that is not had are signals.
Any other end comes from outside: the kernel short of memory, a scheduler, a user."""


def told(status: int) -> str:
    """An exit status (minus the number of a signal) as a user reads it, and what to do.

    >>> told(1), told(-15)
    ('exit status 1', 'SIGTERM')
    """
    if status == -signal.SIGKILL:
        return "SIGKILL, as the system does when memory runs out; free memory, or use fewer workers"
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
