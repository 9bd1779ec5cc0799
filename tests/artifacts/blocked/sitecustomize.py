"""On the path of an interpreter, this makes it one without the training packages: importing them fails."""

import sys

HEAVY = {
    "torch",
    "transformers",
    "deepspeed",
    "accelerate",
    "vllm",
    "trl",
    "lm_eval",
    "math_verify",
    "sympy",
    "datasets",
}


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"{name} is not part of the light environment (requirements/report.lock)")


sys.meta_path.insert(0, Blocker())
