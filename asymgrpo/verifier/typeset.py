r"""Rules on typesetting: spacing, wrappers and unicode signs say nothing about the value of an answer.

Every function takes and gives text. They run before the rules of `fixes`, on answer and reference answer alike.
"""

import re
import unicodedata

# -- unicode -------------------------------------------------------------------------------------------------

_SUPERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣ", "0123456789+-=()nix")
_SUBS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₖₓᵢⱼₘ", "0123456789+-=()nkxijm")
_SPACES = dict.fromkeys(map(ord, "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u205f\u3000"), " ")
_SPACES |= dict.fromkeys(map(ord, "\u2009\u202f"), r"\,")
_NOTHING = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad"), "")
_FRACTIONS = {
    c: re.sub(r"(\d+)\u2044(\d+)", r"\\frac{\1}{\2}", unicodedata.normalize("NFKC", c)) for c in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒"
}
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta", "ι": "iota",
    "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau",
    "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda",
    "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega", "ϕ": "phi", "ϵ": "epsilon", "ϑ": "theta",
    "µ": "mu", "ℏ": "hbar", "ℓ": "ell", "∂": "partial",
}  # fmt: skip
_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "⁄": "/", "∕": "/", "÷": "/", "…": r"\ldots ", "⋯": r"\ldots ",
    "×": r"\times ", "✕": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "∗": r"\cdot ", "•": r"\cdot ",
    "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\neq ", "≈": r"\approx ", "≡": r"\equiv ",
    "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∉": r"\notin ",
    "∅": r"\emptyset ", "⊂": r"\subset ", "⊆": r"\subseteq ", "∖": r"\setminus ", "∧": r"\land ", "∨": r"\lor ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "∣": "|", "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ", "′": "'", "’": "'", "∠": r"\angle ", "△": r"\triangle ",
    "→": r"\to ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "‰": r"\permil ",
}  # fmt: skip
_TABLE = str.maketrans(
    {sign: f"\\{name} " for sign, name in _GREEK.items()}
    | _SIGNS
    | _FRACTIONS
    | {chr(code): text for code, text in (_SPACES | _NOTHING).items()}
)
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}


def fold_unicode(text: str) -> str:
    r"""Signs outside of ASCII in their LaTeX spelling; full-width letters and digits as plain ones.

    >>> fold_unicode("3√2"), fold_unicode("x² − ½"), fold_unicode("2πr"), fold_unicode("√(x+1)")
    ('3\\sqrt{2}', 'x^{2} - \\frac{1}{2}', '2\\pi r', '\\sqrt{x+1}')
    """
    if text.isascii():
        return text
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣ]+", lambda found: f"^{{{found[0].translate(_SUPERS)}}}", text)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₖₓᵢⱼₘ]+", lambda found: f"_{{{found[0].translate(_SUBS)}}}", text)
    text = text.translate(_TABLE)
    while root := re.search("[√∛∜]", text):
        text = text[: root.start()] + _root(_ROOTS[root[0]], text[root.end() :].lstrip())
    return unicodedata.normalize("NFKC", text)


def _root(command: str, rest: str) -> str:
    """The radical sign reaches over a group, a number, or one letter or command."""
    end = closing(rest, 0)
    if end:
        return f"{command}{{{rest[1 : end - 1]}}}{rest[end:]}"
    under = re.match(r"\d+(?:\.\d+)?|\\[a-zA-Z]+|[a-zA-Z]", rest)
    return f"{command}{{{under[0]}}}{rest[under.end() :]}" if under else f"{command} {rest}"


def closing(text: str, start: int) -> int:
    r"""One past the bracket that closes the ( [ or { at `start`; 0 when there is none, or when nothing closes it.

    >>> closing("(a(b))c", 0), closing("{a", 0), closing("a", 0), closing(r"{\}}", 0)
    (6, 0, 0, 4)
    """
    if text[start : start + 1] not in ("(", "[", "{"):
        return 0
    opening = text[start]
    shut = {"(": ")", "[": "]", "{": "}"}[opening]
    depth, at = 0, start
    while at < len(text):
        if text[at] == "\\" and opening == "{":  # an escaped brace is text
            at += 2
            continue
        depth += (text[at] == opening) - (text[at] == shut)
        at += 1
        if depth == 0:
            return at
    return 0


# -- spacing -------------------------------------------------------------------------------------------------

_LENGTH = r"\s*-?[\d.]*\s*(?:mu|em|ex|pt|mm|cm|in|pc|sp|bp)(?![a-zA-Z])"
_SPACE = (
    r"\\[,;:> ]|~|\\(?:q?quad|en(?:space|skip)|(?:neg)?(?:thin|med|thick)space|hfill?|newline|linebreak"
    rf"|nobreak(?:space)?|allowbreak|space)(?![a-zA-Z])|\\[hmv]space\*?\s*\{{[^{{}}]*\}}|\\(?:h|mk?|k)(?:skip|ern){_LENGTH}"
)
_NO_SPACE = r"\\[!/]|\\neg(?:thin|med|thick)space(?![a-zA-Z])"
_EDGE = rf"(?:\s|{_SPACE}|{_NO_SPACE}|\\\\)"


def trim(text: str) -> str:
    r"""Spacing at either end means nothing, nor does what is left of it: a lone backslash, or `\}` without its `\{`.

    >>> trim(r"42\,"), trim(r"\quad 42\; "), trim("42\\"), trim(r"185\}"), trim(r"\{1\}"), trim(r"\!\,42~\\")
    ('42', '42', '42', '185', '\\{1\\}', '42')
    """
    text = re.sub(rf"^{_EDGE}+", "", text)
    # Read from the left, so that the comma of `\\,` is not taken for that of `\,`.
    tokens = re.findall(rf"{_SPACE}|{_NO_SPACE}|\\\\|\\.|.", text, re.DOTALL)
    while tokens and (re.fullmatch(_EDGE, tokens[-1]) or tokens[-1] == "\\"):
        tokens.pop()
    if tokens and tokens[-1] == r"\}" and tokens.count(r"\}") > tokens.count(r"\{"):
        return trim("".join(tokens[:-1]))
    return "".join(tokens)


def plain_spaces(text: str) -> str:
    r"""Spacing commands inside become one space; negative ones vanish.

    >>> plain_spaces(r"x\,+\;y~z"), plain_spaces(r"a\!b"), plain_spaces(r"1 \\, 2")
    ('x + y z', 'ab', '1 \\\\, 2')
    """
    text = re.sub(rf"(\\\\)|{_NO_SPACE}", lambda found: found[1] or "", text)
    return re.sub(rf"(\\\\)|{_SPACE}", lambda found: found[1] or " ", text)


# -- wrappers ------------------------------------------------------------------------------------------------

_DECLARATION = (
    r"\\(?:(?:display|text|script|scriptscript)style|tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge"
    r"|Huge|bf|it|rm|sf|tt|bfseries|itshape|rmfamily|boldmath|unboldmath|limits|nolimits|mathstrut|strut|noindent|centering"
    r"|[bB]igg?[lrm]?)(?![a-zA-Z])|\\(?:left|right)\s*\.(?!\d)"
)
_WRAPPERS = {
    **dict.fromkeys(
        [
            "underline",
            "uline",
            "uwave",
            "underbar",
            "fbox",
            "framebox",
            "bm",
            "boldsymbol",
            "pmb",
            "ensuremath",
            "smash",
            "emph",
        ],
        0,
    ),
    **dict.fromkeys(
        [
            "mathbin",
            "mathord",
            "mathrel",
            "mathop",
            "mathopen",
            "mathclose",
            "mathinner",
            "mathclap",
            "underbrace",
            "overbrace",
        ],
        0,
    ),
    **dict.fromkeys(["textcolor", "colorbox"], 1),
    "fcolorbox": 2,
}
"""Command -> arguments before the one that counts."""
_VANISH = ["color", "tag", "label", "phantom", "hphantom", "vphantom", "hspace", "vspace", "mspace"]
_COMMAND = re.compile(rf"\\(?:({'|'.join(_WRAPPERS)})|({'|'.join(_VANISH)}))(?![a-zA-Z])\*?(?:\s*\[[^\]{{}}]*\])?")
_TEXT = r"\\(?:text(?:bf|it|rm|sf|tt|up|normal)?|math(?:bf|it|rm|sf|tt|normal)|mbox|hbox|operatorname)"


def unwrap(text: str) -> str:
    r"""What is underlined, coloured, framed or emboldened counts as what it contains; phantoms and tags vanish.

    >>> unwrap(r"\underline{42}"), unwrap(r"\color{blue}{42}"), unwrap(r"{\color{red} x}"), unwrap(r"\bm{\frac12}")
    ('42', '42', 'x', '\\frac12')
    >>> unwrap(r"\textcolor{red}{\text{odd}}"), unwrap(r"\mathbf{42}"), unwrap(r"\phantom -1"), unwrap(r"\mathrm{e}^2")
    ('\\text{odd}', '42', '1', 'e^2')
    """
    if "\\" in text:
        if not re.search(r"\\begin|matrix|array|cases", text):  # a backslash too many before a command
            text = re.sub(r"\\\\(?=[a-zA-Z])", r"\\", text)
        text = re.sub(_DECLARATION, " ", text)
        at = 0
        while found := _COMMAND.search(text, at):
            before, rest = text[: found.start()], text[found.end() :].lstrip()
            if found[1]:
                for _ in range(_WRAPPERS[found[1]]):
                    rest = rest[closing(rest, 0) :].lstrip()
            else:
                rest = rest[closing(rest, 0) or min(1, len(rest)) :].lstrip()
            at = len(before)
            text = _guard(before, rest)
        text = re.sub(rf"{_TEXT}\s*\{{\s*([-+]?[\d.,/ ]+)\s*\}}", r"\1", text)
        text = re.sub(r"\\(?:math|text)(?:rm|normal|it|bf|sf)?\s*\{\s*(e|i|\\pi)\s*\}", _constant, text)
        text = re.sub(r"\\math(?:bf|it|rm|sf|tt|normal)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", _formula, text)
    text = re.sub(r"^\s*(\*\*|`)(?!\s)([^*`]+)\1\s*$", r"\2", text)  # Markdown
    return _outer_braces(text.strip())


def _guard(before: str, rest: str) -> str:
    """Joined, with a space where a command's name would run into a letter."""
    return f"{before} {rest}" if re.search(r"\\[a-zA-Z]+$", before) and rest[:1].isalpha() else before + rest


def _constant(found: re.Match[str]) -> str:
    return _guard(found.string[: found.start()], found[1])[found.start() :]


def _formula(found: re.Match[str]) -> str:
    """The content of a font command if it is a formula rather than a word or a unit."""
    return found[1] if re.search(r"[\\^_]|\d", found[1]) else found[0]


def _outer_braces(text: str) -> str:
    """Braces around everything group nothing."""
    while text[:1] == "{" and closing(text, 0) == len(text):
        text = text[1:-1].strip()
    return text
