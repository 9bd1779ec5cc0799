r"""One verifier for reward and evaluation: is the boxed answer of a response equal to the reference answer?"""

from asymgrpo.verifier.api import Verifier, verify, verify_many
from asymgrpo.verifier.extract import extract_boxed
from asymgrpo.verifier.verdict import VERIFIER_VERSION, Verdict, reward

__all__ = ["VERIFIER_VERSION", "Verdict", "Verifier", "extract_boxed", "reward", "verify", "verify_many"]
