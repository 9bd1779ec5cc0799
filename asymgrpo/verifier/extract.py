r"""The answer of a response: the content of its last complete ``\boxed{...}``."""

import re

# An escaped brace or backslash is text; every other brace opens or closes a group.
_TOKEN = re.compile(r"(?P<box>\\+boxed\s*\{)|\\[{}\\]|(?P<open>\{)|(?P<close>\})")


def extract_boxed(response: str) -> str | None:
    r"""Content of the complete ``\boxed{...}`` that starts last, or None if there is none.

    Braces are matched, escaped braces (``\{``) are text. Of nested boxes the inner one counts, since it starts
    last. ``\boxed 5`` without braces is no box. Linear in the length of the response.

    >>> extract_boxed(r"First \boxed{1}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> extract_boxed(r"done: \boxed{7}. Once more: \boxed{8")
    '7'
    >>> extract_boxed("The answer is 7.") is None
    True
    """
    last = response.rfind("\\boxed")
    if last < 0:
        return None
    found = _last_complete(response, last)
    return found if found is not None or last == 0 else _last_complete(response, 0)


def _last_complete(text: str, start: int) -> str | None:
    """The latest-starting complete box in text[start:], in one pass with a stack of open groups."""
    stack: list[int] = []  # where a box's content starts, or -1 for a plain group
    best: tuple[int, int] | None = None
    for token in _TOKEN.finditer(text, start):
        if token["box"]:
            stack.append(token.end())
        elif token["open"]:
            stack.append(-1)
        elif token["close"] and stack:
            opened = stack.pop()
            if opened >= 0 and (best is None or opened > best[0]):
                best = (opened, token.start())
    return text[best[0] : best[1]] if best else None
