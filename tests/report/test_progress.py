"""Progress is a bar on a terminal and a few whole lines in a log."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
from asymgrpo.progress import Progress
bar = Progress("grpo seed 0", 2000, done=1000)
for _ in range(1000):
    bar.update(reward=0.5)
bar.close()
"""


def test_a_log_has_the_first_and_the_last_line_only():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True)
    first, last = done.stderr.splitlines()
    assert "\r" not in done.stderr
    assert "grpo seed 0:  50%" in first
    assert "1000/2000" in first
    assert "100%" in last
    assert "reward=0.500" in last
    assert done.stdout == ""


def test_a_terminal_has_one_line_that_moves():
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", CODE])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    said = b""
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:  # Linux says so when the other side is closed
        pass
    os.waitpid(child, 0)
    bars = said.decode().strip().split("\r")
    assert len(bars) >= 2
    assert all("\n" not in bar and len(bar) <= 90 for bar in bars)
    assert "2000/2000" in bars[-1]
    assert "█" in bars[-1]
