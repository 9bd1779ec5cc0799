"""What an interval says about a claim: a pure function of estimate, interval and margin.

Every contrast is written so that positive favours the claim; `margin` is the smallest effect that matters (evals.claims.table).
The first line that applies is the verdict:

1. `not tested`: there is no interval, because an arm was not run or a manipulation check failed;
2. `supported`: the lower end is above 0; *and relevant* if it is above the margin too;
3. `equivalent`: both ends are inside ± margin;
4. `contradicted`: the upper end is below 0;
5. `too small`: the upper end is below the margin;
6. `inconclusive`: none of these, so that the interval holds 0 and the margin.

Two cases need the order. An interval inside (0, margin) is `supported`, without *and relevant*: the direction that the claim
states is seen. An interval inside (-margin, 0) is `equivalent`, not `contradicted`: the opposite direction is seen, but it does
not matter.
"""

from enum import StrEnum


class Conclusion(StrEnum):
    SUPPORTED = "supported"
    EQUIVALENT = "equivalent"
    CONTRADICTED = "contradicted"
    TOO_SMALL = "too small"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTED = "not tested"


AND_RELEVANT = "and relevant"


def conclude(estimate: float | None, low: float | None, high: float | None, margin: float) -> Conclusion:
    """The verdict; None for all three where nothing was estimated.

    Raises:
        ValueError: the margin is not positive, the estimate is outside its interval, or one of the three is missing.

    >>> [str(conclude(1, *ends, 2.0)) for ends in ((0.1, 3), (-1, 1.9), (-3, 1.9), (-1, 2))]
    ['supported', 'equivalent', 'too small', 'inconclusive']
    >>> str(conclude(-2, -3, -0.1, 2.0)), str(conclude(None, None, None, 2.0))
    ('contradicted', 'not tested')
    """
    if not margin > 0:
        raise ValueError(f"a margin must be positive, found {margin}")
    if estimate is None and low is None and high is None:
        return Conclusion.NOT_TESTED
    if estimate is None or low is None or high is None or not low <= estimate <= high:
        raise ValueError(f"an estimate must lie in its interval, found {estimate} and [{low}, {high}]")
    if low > 0:
        return Conclusion.SUPPORTED
    if -margin < low and high < margin:
        return Conclusion.EQUIVALENT
    if high < 0:
        return Conclusion.CONTRADICTED
    return Conclusion.TOO_SMALL if high < margin else Conclusion.INCONCLUSIVE


def is_relevant(low: float | None, margin: float) -> bool:
    """Whether an effect is shown to be larger than the margin.

    >>> is_relevant(2.1, 2.0), is_relevant(0.5, 2.0), is_relevant(None, 2.0)
    (True, False, False)
    """
    return low is not None and low > margin
