"""A source without what changes no result: comments, docstrings, blank lines. Protocols hash it (evals.protocol.content)."""

import ast
import io
import tokenize


def statements(source: str) -> str:
    r"""The lines of a source that do something.

    >>> statements('"What it is."\n\nX = 1  # ours\n"About X."\n\n\ndef f():\n    "Says nothing."\n    return "# kept"\n')
    'X = 1\ndef f():\n    return "# kept"\n'
    """
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [""] * (last - first)
    return "".join(f"{line.rstrip()}\n" for line in lines if line.strip())
