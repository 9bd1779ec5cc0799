"""Peak bytes of tensors by phase of training, by the allocator's own count: on a GPU and on a CPU."""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Peaks(Protocol):
    def mark(self, phase: str) -> None:
        """From here on it is this phase."""
        ...

    def close(self) -> dict[str, int]:
        """Phase -> most bytes that lived at once during it."""
        ...


class CudaPeaks:
    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self.phase = "start"
        torch.cuda.reset_peak_memory_stats()

    def mark(self, phase: str) -> None:
        torch.cuda.synchronize()
        self.found[self.phase] = max(self.found.get(self.phase, 0), torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()
        self.phase = phase

    def close(self) -> dict[str, int]:
        self.mark("end")
        return self.found


class CpuPeaks:
    """Sums the profiler's allocation events between marks, which are events too. It must begin before the model exists."""

    PREFIX = "phase:"

    def __init__(self) -> None:
        self.profile = torch.autograd.profiler.profile(profile_memory=True)
        self.profile.__enter__()

    def mark(self, phase: str) -> None:
        with torch.autograd.profiler.record_function(self.PREFIX + phase):
            pass

    def close(self) -> dict[str, int]:
        self.profile.__exit__(None, None, None)
        events = sorted(self.profile.kineto_results.events(), key=lambda e: e.start_ns())
        live, phase, found = 0, "start", dict[str, int]()
        for event in events:
            if event.name().startswith(self.PREFIX):
                phase = event.name().removeprefix(self.PREFIX)
            elif event.name() == "[memory]":
                live += event.nbytes()
            found[phase] = max(found.get(phase, 0), live)
        return found


def watch(engine: Any, peaks: Peaks) -> None:
    """Have an engine mark when its logits' gradients are done (`layers`) and when it updates (`update`, then `after`)."""
    engine._policy.model.model.norm.register_full_backward_pre_hook(lambda *_: peaks.mark("layers"))
    original = engine._ds.step

    def step() -> None:
        updates = engine._ds.is_gradient_accumulation_boundary()
        if updates:
            peaks.mark("update")
        original()
        peaks.mark("after")

    engine._ds.step = step
