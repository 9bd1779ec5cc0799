"""What is wrong with an arm, as a sentence for the user."""

from asymgrpo.errors import InputError


class ArmError(InputError):
    """An arm is unknown, wrongly changed or does nothing; the message names the key and the remedy."""
