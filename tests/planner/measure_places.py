"""Run as a process: updates of a small model through the real engine (DeepSpeed), spied on -> bytes by place, as JSON."""

import gc
import json
import sys

import torch
from deepspeed.accelerator import get_accelerator
from measure_step import batch_of
from places import ACCELERATOR, Asked, Made, Name, Places
from transformers import AutoConfig, AutoModelForCausalLM

from asymgrpo.study.sections.train import Train
from asymgrpo.training.engine import Engine, start_process_group


def roles(optimizer) -> dict[str, torch.Tensor]:
    """What the optimizer of stages 1 and 2 holds, by what it is for."""
    weights = optimizer.single_partition_of_fp32_groups[0]
    moments = optimizer.optimizer.state[weights]
    found = {"weights": optimizer.bit16_groups_flat[0], "float32 weights": weights}
    found |= {"first moment": moments["exp_avg"], "second moment": moments["exp_avg_sq"]}
    if optimizer.cpu_offload:
        found["gradients for the update"] = weights.grad
        found["new weights on their way"] = optimizer.param_buffer_of_bit16_for_cpu_offload_groups[0]
        found["one gradient on its way"] = optimizer.temp_grad_buffer_for_gpu_offload
    return found


def sum_of_gradients(optimizer) -> dict[str, torch.Tensor]:
    """Between two micro-batches."""
    group = getattr(optimizer, "averaged_gradients", {}).get(0)
    return {"sum of gradients": group.flat_partition} if hasattr(group, "flat_partition") else {}


def described(places: Places, tensors: dict[str, torch.Tensor]) -> dict[str, tuple]:
    return {name: (places.of(t), t.numel() * t.element_size()) for name, t in tensors.items()}


def measure(request: dict) -> dict:
    """Peaks by phase and place, bytes moved by the second of two updates, and where the optimizer's tensors lie."""
    gc.collect()
    train, places = Train.model_validate(request["train"]), Places()
    accelerator = get_accelerator()
    accelerator.current_device_name = accelerator.device_name = lambda *_: Name("cpu")
    accelerator.on_accelerator = lambda tensor: places.of(tensor) == ACCELERATOR
    vocabulary = request["config"]["vocab_size"]
    parts = [batch_of(request["sequences"], request["tokens"], vocabulary) for _ in range(request["micro_batches"])]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**request["config"]), dtype=train.dtype)
    with Asked(places), Made(places):
        for tensor in (*model.parameters(), *model.buffers()):
            places.put(tensor, ACCELERATOR)
        engine = Engine(model, train, len(parts))
        step, held = engine._ds.step, {}
        engine._ds.step = lambda: (engine._ds.is_gradient_accumulation_boundary() and places.enter("update"), step())
        for _ in range(2):
            places.moved.clear()
            for i, batch in enumerate(parts, start=1):
                places.enter("backward")
                logp, _ = engine.forward(batch.rows(torch.arange(len(batch))))
                engine.backward(-logp.mean() / len(parts))
                del logp
                if i < len(parts):
                    held |= described(places, sum_of_gradients(engine._ds.optimizer))
    if train.zero_stage in (1, 2) and hasattr(engine._ds.optimizer, "bit16_groups_flat"):
        held |= described(places, roles(engine._ds.optimizer))
    bucket = engine._ds.zero_reduce_bucket_size()
    engine._ds.destroy()
    return {"peak": places.peak, "moved": places.moved, "bucket": bucket, "roles": held}


if __name__ == "__main__":
    torch.set_num_threads(1)
    start_process_group()
    print(json.dumps([measure(request) for request in json.loads(sys.argv[1])]))
