"""Are two expressions the same function, and two numbers the same number? Runs only inside a worker."""

from collections.abc import Iterator, Sequence

import sympy
from sympy import Expr, FiniteSet, Float, Interval, MatrixBase, Pow, Rational, Tuple, log
from sympy.core.relational import Relational

FLOAT_TOLERANCE = 1e-5
"""Largest relative difference between a decimal and an equal number; `0.333333` is 1e-6 off a third."""
DIGITS = 30
TOLERANCE = Float("1e-20", DIGITS)
"""Relative, at DIGITS significant digits."""
ENOUGH = 3
"""Points at which the reference answer must be defined before they say anything."""
_VALUES = [Rational(*pair) for pair in ((7, 5), (13, 11), (23, 29), (31, 10), (41, 17), (5, 13), (19, 7), (3, 37))]
_STEPS = (sympy.floor, sympy.ceiling, sympy.Mod, sympy.sign, sympy.Piecewise)
_SIGNS = (1, -1, 1, 1, -1, 1, -1, -1)


def same_function(answer: Expr, reference: Expr) -> bool:
    r"""Are both equal wherever the reference answer is defined in the real numbers?

    Both are evaluated to 30 digits at eight fixed points of either sign. So 1/sqrt(n) equals sqrt(1/n), which a simplification
    that allows for negative n denies; |x| does not equal x, since x is defined at negative numbers too. Steps say nothing at
    points: two that differ can agree at all of them.

    >>> n = sympy.Symbol("n", real=True)
    >>> same_function(1 / sympy.sqrt(n), sympy.sqrt(1 / n)), same_function(sympy.Abs(n), n), same_function(n + 1, n)
    (True, False, False)
    """
    names = sorted({symbol.name for symbol in reference.free_symbols})
    if (
        answer.has(*_STEPS)
        or reference.has(*_STEPS)
        or not names
        or names != sorted({symbol.name for symbol in answer.free_symbols})
    ):
        return False
    defined = 0
    for point in _points(names):
        wanted = _value(reference, point)
        if wanted is None:
            continue
        given = _value(answer, point)
        if given is None or abs(given - wanted) > TOLERANCE * max(abs(given), abs(wanted)):
            return False
        defined += 1
    return defined >= ENOUGH


def _points(names: Sequence[str]) -> Iterator[dict[str, Rational]]:
    """First all positive, then of mixed signs; no two variables are ever equal."""
    for shift in range(len(_VALUES)):
        signs = (
            [1] * len(names) if shift < 4 else [_SIGNS[(shift + place) % len(_SIGNS)] for place in range(len(names))]
        )
        yield {
            name: sign * _VALUES[(shift + place) % len(_VALUES)] + place // len(_VALUES)
            for place, (name, sign) in enumerate(zip(names, signs, strict=True))
        }


def _value(expression: Expr, point: dict[str, Rational]) -> Float | None:
    """Its real value there; None if it, or an even root or a logarithm inside, has none."""
    try:
        if any(not _real_inside(node, point) for node in expression.atoms(Pow, log)):
            return None
        value = _placed(expression, point).doit().evalf(DIGITS)
    except Exception:  # sympy raises any kind on what it cannot evaluate
        return None
    return value if value.is_Float or value.is_Rational else None


def _real_inside(node: Expr, point: dict[str, Rational]) -> bool:
    """Is the base of this root, or the argument of this logarithm, not negative there?"""
    if isinstance(node, Pow) and node.exp.is_integer:
        return True
    return bool(_placed(node.args[0], point).doit().evalf(DIGITS) >= 0)


def _placed(expression: Expr, point: dict[str, Rational]) -> Expr:
    return expression.xreplace(
        {symbol: point[symbol.name] for symbol in expression.free_symbols if symbol.name in point}
    )


def contradicted(answer: object, reference: object) -> bool:
    """Do numbers differ that math-verify took for equal, alone or inside points, lists, matrices, intervals and equations?

    math-verify takes rationals for equal that agree in 15 digits, and decimals that agree in six places, however small they are
    (1e-7 = 2e-7). Here rationals are compared exactly, decimals by relative difference.
    """
    if isinstance(answer, FiniteSet) and isinstance(reference, FiniteSet) and len(answer) == len(reference):
        pairs = ((answer.args, reference.args), (reference.args, answer.args))
        return any(all(contradicted(one, other) for other in others) for ones, others in pairs for one in ones)
    if isinstance(answer, sympy.Eq) and isinstance(reference, sympy.Eq) and _without_solutions(answer, reference):
        return True
    if isinstance(answer, Relational) and isinstance(reference, Relational) and answer.lhs == reference.lhs:
        answer, reference = answer.rhs, reference.rhs
    inside = _inside(answer), _inside(reference)
    if inside[0] and len(inside[0]) == len(inside[1]):
        return any(contradicted(one, other) for one, other in zip(*inside, strict=True))
    return _numbers_differ(answer, reference)


def _without_solutions(answer: sympy.Eq, reference: sympy.Eq) -> bool:
    """Different equations of which one has no solutions that sympy can name; math-verify takes two empty lists for equal."""
    ratio = sympy.simplify((answer.lhs - answer.rhs) / (reference.lhs - reference.rhs))
    if ratio.is_number and ratio.is_finite and not ratio.is_zero:
        return False
    return not (sympy.solve(answer, answer.free_symbols) and sympy.solve(reference, reference.free_symbols))


def _inside(value: object) -> tuple[object, ...]:
    """What is compared part by part."""
    if isinstance(value, Tuple):
        return tuple(value.args)
    if isinstance(value, Interval):
        return (value.start, value.end)
    if isinstance(value, MatrixBase):
        return tuple(value.flat())
    return ()


def _numbers_differ(answer: object, reference: object) -> bool:
    if not (isinstance(answer, Expr) and isinstance(reference, Expr) and answer.is_number and reference.is_number):
        return False
    a, b = answer.doit(), reference.doit()
    if a.is_Rational and b.is_Rational:
        return bool(a != b)
    if not (a.has(sympy.Float) or b.has(sympy.Float)):
        return False
    try:
        x, y = complex(a), complex(b)
    except (TypeError, OverflowError):
        return False
    return abs(x - y) > FLOAT_TOLERANCE * max(abs(x), abs(y))
