"""Run as a process: updates of a small model through the real engine (DeepSpeed) on one rank -> peak bytes, as JSON.

Reduction buffers have a fixed size of gigabytes (never touched here): they are counted apart.
"""

import gc
import json
import sys

import torch
from measure_step import batch_of
from transformers import AutoConfig, AutoModelForCausalLM

from asymgrpo.config import Train
from asymgrpo.engine import Engine, start_process_group

LARGE = 900_000_000


def peaks_of(events) -> tuple[int, int]:
    """Highest running sums of allocations below LARGE, and of the others."""
    live, peak = [0, 0], [0, 0]
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        kind = int(abs(event.nbytes()) >= LARGE)
        live[kind] += event.nbytes()
        peak[kind] = max(peak[kind], live[kind])
    return peak[0], peak[1]


def measure(request: dict) -> dict[str, int]:
    """Peak from before the model exists to the end of its second update, two micro-batches each."""
    gc.collect()  # of the engine before: its releases must not fall into this measurement
    train = Train.model_validate(request["train"])
    parts = [batch_of(request["sequences"], request["tokens"], request["config"]["vocab_size"]) for _ in range(2)]
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**request["config"]), dtype=train.dtype)
        engine = Engine(model, train, len(parts))
        for batch in parts * 2:
            logp, _ = engine.forward(batch.rows(torch.arange(len(batch))))
            engine.backward(-logp.mean() / len(parts))
    engine._ds.destroy()
    peak, buffers = peaks_of(profile.kineto_results.events())
    return {"peak": peak, "buffers": buffers}


if __name__ == "__main__":
    torch.set_num_threads(1)
    start_process_group()
    print(json.dumps([measure(request) for request in json.loads(sys.argv[1])]))
