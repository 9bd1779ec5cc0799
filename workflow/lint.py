"""`snakemake --lint` without two pieces of advice that this workflow answers in another way.

Jobs enter their container through containers.host.python, not through Snakemake's `container:`, which is ignored silently when
`--sdm` is not given. And that prefix is a variable of the Snakefile, not a `params:` entry, because a changed parameter reruns
its rule: another interpreter's path must not restart days of training.
"""

from __future__ import annotations

import subprocess
import sys

from asymgrpo.console import print_any_letter

ANSWERED = (
    "Specify a conda environment or container for each rule.",
    "Shell command directly uses variable PYTHON from outside of the rule",
    "Shell command directly uses variable PYTHON_IN from outside of the rule",
    "Shell command directly uses variable PROOF from outside of the rule",
    "Shell command directly uses variable LAUNCH from outside of the rule",
    "Shell command directly uses variable ABOUT_IMAGES from outside of the rule",
    "Shell command directly uses variable DATA_DIR from outside of the rule",
    "Shell command directly uses variable CHECKPOINTS from outside of the rule",
)


def complaints(text: str) -> list[str]:
    """What the linter says of each rule and file, without what is answered.

    >>> complaints("Lints for rule a (line 1, b.smk):\\n    * No log directive defined:\\n      Why.")
    ['rule a (line 1, b.smk): No log directive defined:']
    """
    place, found = "", []
    for line in text.splitlines():
        if line.startswith("Lints for "):
            place = line.removeprefix("Lints for ").rstrip(":")
        elif line.startswith("    * ") and not any(advice in line for advice in ANSWERED):
            found.append(f"{place}: {line.strip(' *')}")
    return found


def main() -> int:
    print_any_letter()
    command = [sys.executable, "-m", "snakemake", "--lint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8", errors="replace")
    said = done.stdout + done.stderr
    if "Lints for " not in said and done.returncode != 0:
        print(said, file=sys.stderr)
        return 1
    found = complaints(said)
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
