r"""The answer of a response: the content of its last complete ``\boxed{...}``."""

import re
from typing import NamedTuple

# An escaped brace or backslash is text; every other brace opens or closes a group.
_TOKEN = re.compile(r"(?P<box>\\+boxed\s*\{)|(?P<set>\\\{)|(?P<unset>\\\})|\\\\|(?P<open>\{)|(?P<close>\})")


# Between the boxes of one enumeration: at least one of , ; and or, and otherwise only space and delimiters.
_BETWEEN = re.compile(
    r"(?:\s|\$|\\[()\[\]]|\\[ ,;:]|\\q?quad|[,;]|\\text\{|\}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])){1,40}"
)
_CONNECTOR = re.compile(r"(?<!\\)[,;]|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])")


def extract_boxed(response: str) -> str | None:
    r"""Content of the complete ``\boxed{...}`` that starts last, or None if there is none.

    Braces are matched, escaped braces (``\{``) are text. Of nested boxes the inner one counts, since it
    starts last. ``\boxed 5`` without braces is no box. A box that nothing closes ends at its first ``\}`` without
    a ``\{``: whoever writes ``\boxed{5\}`` means the brace. Linear in the length of the response.

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
    # Nearly always the last box is complete, and the text before it need not be read.
    found = _boxes(response, last) or _boxes(response, 0)
    return response[found[-1].content : found[-1].close] if found else None


def extract_answer(response: str, reference: str) -> str | None:
    r"""What is compared with the reference answer: the last box; if that is a list, the last enumeration of boxes.

    >>> extract_answer(r"\boxed{1} and \boxed{2}", "1, 2"), extract_answer(r"\boxed{1} and \boxed{2}", "2")
    ('1, 2', '2')
    """
    if response.count("\\boxed") < 2 or not is_list(reference):
        return extract_boxed(response)
    boxes = _boxes(response, 0)
    run = boxes[-1:]
    for box in reversed(boxes[:-1]):
        between = response[box.close + 1 : run[0].start]
        if not (_BETWEEN.fullmatch(between) and _CONNECTOR.search(between)):
            break
        run.insert(0, box)
    return ", ".join(response[box.content : box.close] for box in run) if run else None


def is_list(reference: str) -> bool:
    r"""Does the reference answer enumerate several values? A comma outside of all brackets, or "and", "or".

    >>> is_list("(1, 2), (3, 4)"), is_list("(1, 2)"), is_list("12,345"), is_list(r"2 \text{ or } 3")
    (True, False, False, True)
    """
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+", reference):
        return False
    flat, depth = "", 0
    for character in reference:
        depth += (character in "([{") - (character in ")]}")
        flat += character if depth <= 0 else ""
    return "," in flat or bool(re.search(r"\b(?:and|or)\b", reference))


class _Box(NamedTuple):
    start: int  # of the backslash
    content: int  # after the opening brace
    close: int  # of the closing brace


def _boxes(text: str, start: int) -> list[_Box]:
    """All complete boxes of text[start:], by start, in one pass with a stack of open groups."""
    stack: list[re.Match[str]] = []
    found: list[_Box] = []
    for token in _TOKEN.finditer(text, start):
        if token["box"] or token["open"]:
            stack.append(token)
        elif token["close"] and stack:
            opened = stack.pop()
            if opened["box"]:
                found.append(_Box(opened.start(), opened.end(), token.start()))
    open_box = next((opened for opened in reversed(stack) if opened["box"]), None)
    if open_box and (slip := _slip(text, open_box.end())) is not None:
        found.append(_Box(open_box.start(), open_box.end(), slip))
    return sorted(found)


def _slip(text: str, start: int) -> int | None:
    r"""Where the first ``\}`` of a box that nothing closes stands, if neither ``\{`` nor ``{`` is open there."""
    depth = sets = 0
    for token in _TOKEN.finditer(text, start):
        depth += bool(token["box"] or token["open"]) - bool(token["close"])
        sets += bool(token["set"]) - bool(token["unset"])
        if sets < 0:
            return token.start() if depth == 0 else None
    return None
