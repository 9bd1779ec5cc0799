"""What goes wrong with files, told to the user."""


class DataError(ValueError):
    """A file that is missing, unreadable or not what was announced; the message names it and the remedy."""
