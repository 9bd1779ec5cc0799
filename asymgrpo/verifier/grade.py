r"""What a response is worth: (its text, the reference answer, whether it was cut) -> verdict -> reward.

The one home of the rule on truncated responses: training, evaluation and lm-eval's tasks all grade here.
"""

from collections.abc import Iterable

from asymgrpo.verifier.api import verify_many
from asymgrpo.verifier.extract import extract_boxed
from asymgrpo.verifier.second import second_correct
from asymgrpo.verifier.verdict import Verdict


def was_cut(finish_reason: str) -> bool:
    """Whether a sampler cut a response at the limit of tokens (`length`); one that ended by itself says `stop`."""
    return finish_reason != "stop"


def grade(text: str, reference_answer: str, cut: bool) -> Verdict:
    r"""The verdict on one response: truncated if it was cut, whatever it says, else what the verifier finds.

    >>> grade(r"so it is \boxed{42}", "42", cut=False), grade(r"so it is \boxed{42}", "42", cut=True)
    (<Verdict.correct: 'correct'>, <Verdict.truncated: 'truncated'>)
    """
    return grade_many([(text, reference_answer, cut)])[0]


def grade_many(responses: Iterable[tuple[str, str, bool]], workers: int | None = None) -> list[Verdict]:
    """Verdicts on (text, reference answer, cut), in their order; `workers` None means one for each usable core."""
    asked = list(responses)
    found = iter(verify_many([(text, answer) for text, answer, cut in asked if not cut], workers=workers))
    return [Verdict.truncated if cut else next(found) for *_, cut in asked]


def second_grade(text: str, reference_answer: str, cut: bool) -> bool:
    r"""Whether the second grader accepts the response. A truncated one is wrong here too: graders differ only on answers.

    >>> second_grade(r"\boxed{42}", "42", cut=False), second_grade(r"\boxed{42}", "42", cut=True)
    (True, False)
    """
    answer = extract_boxed(text)
    return not cut and bool(answer) and second_correct(answer or "", reference_answer)


def reward(verdict: Verdict) -> float:
    """Binary reward of a verdict: 1 for correct, 0 for everything else.

    A truncated response is worth 0 as well: the paper does not say, and 0 is what a user would give it.

    >>> [reward(v) for v in (Verdict.correct, Verdict.wrong, Verdict.truncated)]
    [1.0, 0.0, 0.0]
    """
    return 1.0 if verdict is Verdict.correct else 0.0
