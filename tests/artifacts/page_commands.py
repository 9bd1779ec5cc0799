"""The commands that the pages tell a reader to type, and how several are run in forks of one process.

python tests/artifacts/page_commands.py          lists them
python tests/artifacts/page_commands.py --run    reads [[[program, arguments ...], file or null], ...] as JSON, runs them in the
                                                 current folder, in turn, and prints [[exit code, output], ...]
"""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("python", "snakemake", "asymgrpo", "make", "pytest", "tensorboard", "lm_eval")
"""Ours, and those of our environment; what git, pip or squeue do is not ours to test."""
FOLDER = re.compile(r"^(?:\.venv|light|CHECKOUT/\.venv)/bin/")
BLOCK = re.compile(r"^```\w*\n(.*?)^```|((?:^    [^\n]+\n)+)|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
"""A fenced block, an indented one, or code within a line."""


def written(name: str) -> list[str]:
    """The commands of a page in its order, without comments, variables before a command and the folder of a program."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = "\n".join(re.sub(r"\\\n\s*", "", "".join(groups)) for groups in BLOCK.findall(text)).splitlines()
    return list(dict.fromkeys(command for line in lines for command in _of_line(line)))


def _of_line(line: str) -> Iterator[str]:
    for one in re.split(r"\s*(?:&&|;)\s+", re.sub(r"(^|\s)#\s.*", "", line).strip()):
        command = FOLDER.sub("", re.sub(r"^(?:[A-Z_]+=\S+\s+)+", "", one))
        if command.split(" ")[0].removesuffix("3.11") in PROGRAMS and " " in command:
            yield command


def run_all(commands: list[tuple[list[str], str | None]]) -> Iterator[tuple[int, str]]:
    """Exit code and output of each; imports that many of them share are made once."""
    import snakemake.cli  # noqa: F401
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    for words, out in commands:
        yield _run(words, out)


def _run(words: list[str], out: str | None) -> tuple[int, str]:
    said = Path("said.txt")
    child = os.fork()
    if not child:
        for number, file in ((1, out or said), (2, said)):
            os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND), number)
        sys.argv = words
        try:
            if words[0].endswith(".py"):
                runpy.run_path(words[0], run_name="__main__")
            else:
                runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        else:
            code = 0
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said.read_text(encoding="utf-8", errors="replace")[-2000:]


if __name__ == "__main__":
    if "--run" in sys.argv:
        print(json.dumps(list(run_all(json.loads(sys.stdin.read())))))
    else:
        for page in sorted(ROOT.rglob("*.md")):
            for command in written(str(page.relative_to(ROOT))) if ".venv" not in page.parts else []:
                print(f"{page.relative_to(ROOT)}: {command}")
