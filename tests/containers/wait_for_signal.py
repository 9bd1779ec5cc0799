"""What a training does on a signal, without the training: say so and leave with its exit code."""

import signal
import sys


def save(number, frame):
    signal.signal(number, signal.SIG_IGN)  # SLURM sends it to every process, and Apptainer forwards its own
    print("saved", flush=True)
    sys.exit(75)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, save)
    print("waiting", flush=True)
    signal.pause()
