"""What a verdict is; asymgrpo.verifier.grade says what it is worth."""

from enum import StrEnum

# Bumped on every change that can change a verdict; stored beside every graded sample.
VERIFIER_VERSION = "2"

MAX_ANSWER_CHARS = 2000
"""A longer answer is unparsed, for both graders; the longest reference answer of the benchmarks has under 300 characters."""


class Verdict(StrEnum):
    """The outcome of comparing one response with one reference answer.

    correct    the answer in the last complete box equals the reference answer
    wrong      it does not
    unparsed   there is no complete box, it is empty or too long, or no mathematics is found in it
    timeout    the comparison used up its processor time or its memory
    truncated  the response ran into the token limit; what it contains is not looked at
    """

    correct = "correct"
    wrong = "wrong"
    unparsed = "unparsed"
    timeout = "timeout"
    truncated = "truncated"
