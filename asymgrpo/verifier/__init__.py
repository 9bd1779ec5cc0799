r"""One verifier for reward and evaluation: is the boxed answer of a response equal to the reference answer?"""

from asymgrpo.verifier.api import Verifier, verify_many
from asymgrpo.verifier.extract import extract_boxed
from asymgrpo.verifier.grade import grade, grade_many, reward, second_grade, was_cut
from asymgrpo.verifier.verdict import VERIFIER_VERSION, Verdict

__all__ = [
    "VERIFIER_VERSION",
    "Verdict",
    "Verifier",
    "extract_boxed",
    "grade",
    "grade_many",
    "reward",
    "second_grade",
    "verify_many",
    "was_cut",
]
