"""What a training does on a signal, without the training: say so and leave with its exit code."""

import signal
import sys

if __name__ == "__main__":
    # Blocked and waited for: a handler with signal.pause() sleeps for ever when the signal comes right before it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("waiting", flush=True)
    signal.sigwait({signal.SIGTERM})
    print("saved", flush=True)
    sys.exit(75)
