"""Progress that reads well on a terminal and in a log: a tqdm bar on the former, a line every few seconds in the latter."""

from __future__ import annotations

import sys

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15


class Progress:
    """A bar named `title` over `total` units, of which `done` are behind us."""

    def __init__(self, title: str, total: int, done: int = 0, enabled: bool = True, unit: str = "step"):
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=total,
            initial=done,
            desc=title,
            unit=unit,
            disable=not enabled,
            mininterval=0.5 if self.terminal else SECONDS_BETWEEN_LINES,
            maxinterval=0.5 if self.terminal else SECONDS_BETWEEN_LINES,
            file=sys.stderr if self.terminal else _Lines(),
            ascii=not self.terminal,
            ncols=None if self.terminal else 110,
        )

    def update(self, units: int = 1, **values: float) -> None:
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()}, refresh=False)
        self.bar.update(units)

    def close(self) -> None:
        self.bar.close()


class _Lines:
    """Turns tqdm's carriage returns into lines of their own."""

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            sys.stderr.write(line + "\n")

    def flush(self) -> None:
        sys.stderr.flush()
