"""Optimisers, schedules and gradient clipping: written in tensors, part of the compiled training step."""

from graphc.optim import schedules
from graphc.optim.clip import clip_grad_norm, clip_grad_value, global_norm
from graphc.optim.optimizer import Optimizer
from graphc.optim.rules import SGD, Adam, AdamW, RMSprop

__all__ = [
    "SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "clip_grad_norm", "clip_grad_value", "global_norm", "schedules",
]  # fmt: skip
