"""What is printed under a locale without the letters for it (LC_ALL=C): escaped, instead of an error at the last step."""

from __future__ import annotations

import io
import sys


def print_any_letter() -> None:
    """Let standard output escape what its encoding lacks, as standard error always does. For the start of a command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
