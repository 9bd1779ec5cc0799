"""Errors that are for the user: one sentence that says what is wrong, where, and what to do. Programs end with exit code 2."""

EXIT_WRONG_INPUT = 2
"""What a program returns when its input is wrong; nothing has been computed by then."""


class InputError(ValueError):
    """What the user gave is wrong: a file, an option, a model. The message is all that the user sees."""


class DataError(InputError):
    """Data is missing, altered, unreadable or not what was announced; the message names the file and the remedy."""


class ModelError(InputError):
    """A model is missing, altered or not usable; the message names the file and the remedy."""
