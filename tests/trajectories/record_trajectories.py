"""Rewrite recorded.json after a wanted change (`python -m tests.trajectories.record_trajectories`) and say what moved.

A recording that still holds is kept as it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]


def main() -> None:
    import trajectory
    from tqdm import tqdm

    from asymgrpo.files import write_text
    from asymgrpo.method.arms import ARMS
    from tests.helpers import tiny_trainer

    tiny_trainer.join()
    old, new = trajectory.read() if trajectory.FILE.exists() else {}, {}
    for name in tqdm(ARMS, "recording", disable=None):
        if name in old and not trajectory.faults(trajectory.trajectory(name, old[name]["run_seed"]), old[name]):
            new[name] = old[name]
            continue
        seed = trajectory.steady_seed(name)
        new[name] = {"run_seed": seed, **trajectory.trajectory(name, seed)}
        if name not in old:
            print(f"{name}: new")
        for fault in trajectory.faults(new[name], old[name]) if name in old else ():
            print(f"{name}: {fault}")
    lines = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in new.items()]
    write_text("{\n" + ",\n".join(lines) + "\n}\n", trajectory.FILE)


if __name__ == "__main__":
    main()
