"""How programs end: their exit codes, and the errors whose message is one sentence for the user (asymgrpo.console prints it)."""

EXIT_FAILED = 1
"""Anything else went wrong: a full disk, a lost rank, a fault that a check found, a bug (with its traceback)."""
EXIT_WRONG_INPUT = 2
"""What the user gave is wrong; nothing has been computed by then."""
EXIT_PREEMPTED = 75
"""Stopped by a signal or a time limit, with the state saved: start the same command again (EX_TEMPFAIL)."""


class InputError(ValueError):
    """What the user gave is wrong: a file, an option, a model. The message is all that the user sees; exit code 2."""


class DataError(InputError):
    """Data is missing, altered, unreadable or not what was announced; the message names the file and the remedy."""


class ArmError(InputError):
    """An arm is unknown, wrongly changed or does nothing; the message names the key and the remedy."""


class ModelError(InputError):
    """A model is missing, altered or not usable; the message names the file and the remedy."""


class FailedError(RuntimeError):
    """The input is right, but the work cannot continue. The message is all that the user sees; exit code 1."""


class Preempted(Exception):
    """A signal or a time limit asked the program to stop; its state is on disk. Exit code 75."""
