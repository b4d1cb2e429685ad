"""The optimisers: update rules, elementwise over parameter, gradient and moments, so that each is one fused pass.

Names, arguments, defaults and formulas are PyTorch's; the tests hold them to it over many steps.
"""

from __future__ import annotations

from typing import Any

from graphc.errors import GraphError, with_location
from graphc.ir.location import capture
from graphc.ops.build import scalar_like
from graphc.ops.functions.selection import where
from graphc.ops.primitives.exponential import sqrt
from graphc.ops.primitives.extremes import maximum
from graphc.ops.tensor import Tensor
from graphc.optim.hyperparameter import Hyperparameter, check_at_least_zero, check_decay
from graphc.optim.optimizer import LearningRate, Moments, Optimizer, Scalars, Trained

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: `b ← μ·b + (1 - τ)·g; p ← p - lr·b` (first step: `b ← g`).

    Nesterov's variant steps along `g + μ·b`. Weight decay is added to the gradient.
    """

    momentum = Hyperparameter()

    def __init__(
        self,
        parameters: Trained = None,
        lr: LearningRate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        check_at_least_zero("momentum", momentum)
        if nesterov and (momentum == 0 or dampening != 0):
            error = f"nesterov needs momentum and no dampening; got {momentum=}, {dampening=}"
            raise with_location(GraphError(error), capture())
        super().__init__(parameters, lr, weight_decay=weight_decay, **options)
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    @property
    def counts_steps(self) -> bool:
        return bool(self.momentum and self.dampening)

    def scalars(self, step: Tensor, lr: Tensor) -> Scalars:
        if not self.counts_steps:
            return {}
        return {"fresh": where(step > 1.0, scalar_like(step, 1.0 - self.dampening), 1.0)}

    def rule(self, p: Tensor, g: Tensor, moments: Moments, scalars: Scalars) -> tuple[Tensor, Moments]:
        if "weight_decay" in scalars:
            g = g + scalars["weight_decay"] * p
        if "momentum" not in scalars:
            return p - scalars["lr"] * g, {}
        fresh = scalars["fresh"] * g if "fresh" in scalars else g
        buffer = scalars["momentum"] * moments["momentum_buffer"] + fresh
        direction = g + scalars["momentum"] * buffer if self.nesterov else buffer
        return p - scalars["lr"] * direction, {"momentum_buffer": buffer}


class RMSprop(Optimizer):
    """`v ← α·v + (1 - α)·g²; p ← p - lr·g / (√v + ε)` (Tieleman and Hinton 2012).

    `centered` subtracts the square of the mean gradient from `v`; `momentum` accumulates the quotient.
    """

    momentum = Hyperparameter()

    def __init__(
        self,
        parameters: Trained = None,
        lr: LearningRate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        **options: Any,
    ) -> None:
        check_decay("alpha", alpha)
        check_at_least_zero("eps", eps)
        check_at_least_zero("momentum", momentum)
        super().__init__(parameters, lr, weight_decay=weight_decay, **options)
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered

    @property
    def slots(self) -> tuple[str, ...]:
        extra = (("grad_avg",) if self.centered else ()) + (("momentum_buffer",) if self.momentum else ())
        return ("square_avg", *extra)

    def rule(self, p: Tensor, g: Tensor, moments: Moments, scalars: Scalars) -> tuple[Tensor, Moments]:
        if "weight_decay" in scalars:
            g = g + scalars["weight_decay"] * p
        square = self.alpha * moments["square_avg"] + (1.0 - self.alpha) * (g * g)
        following, variance = {"square_avg": square}, square
        if self.centered:
            mean = moments["grad_avg"] + (1.0 - self.alpha) * (g - moments["grad_avg"])
            following["grad_avg"], variance = mean, square - mean * mean
        direction = g / (sqrt(variance) + self.eps)
        if "momentum" in scalars:
            direction = scalars["momentum"] * moments["momentum_buffer"] + direction
            following["momentum_buffer"] = direction
        return p - scalars["lr"] * direction, following


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015): `m` and `v` decay by `betas`; `p ← p - lr·m̂ / (√v̂ + ε)`, bias corrected.

    Weight decay is added to the gradient (see `AdamW` for the decoupled kind). `amsgrad` divides by the largest `v`
    so far (Reddi et al. 2018).
    """

    counts_steps = True
    decoupled = False

    def __init__(
        self,
        parameters: Trained = None,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        check_decay("betas[0]", betas[0])
        check_decay("betas[1]", betas[1])
        check_at_least_zero("eps", eps)
        super().__init__(parameters, lr, weight_decay=weight_decay, **options)
        self.betas, self.eps, self.amsgrad = betas, eps, amsgrad

    @property
    def slots(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if self.amsgrad else ()))

    def scalars(self, step: Tensor, lr: Tensor) -> Scalars:
        first, second = self.betas
        shared = {"size": lr / (1.0 - first**step), "spread": 1.0 / sqrt(1.0 - second**step)}
        decays = self.decoupled and self.weight_decay
        return {**shared, "keep": 1.0 - self.tensor("weight_decay") * lr} if decays else shared

    def rule(self, p: Tensor, g: Tensor, moments: Moments, scalars: Scalars) -> tuple[Tensor, Moments]:
        first, second = self.betas
        if "keep" in scalars:
            p = p * scalars["keep"]
        elif "weight_decay" in scalars:
            g = g + scalars["weight_decay"] * p
        mean = moments["exp_avg"] + (1.0 - first) * (g - moments["exp_avg"])
        square = second * moments["exp_avg_sq"] + (1.0 - second) * (g * g)
        following, variance = {"exp_avg": mean, "exp_avg_sq": square}, square
        if self.amsgrad:
            variance = following["max_exp_avg_sq"] = maximum(moments["max_exp_avg_sq"], square)
        denominator = sqrt(variance) * scalars["spread"] + self.eps
        return p - scalars["size"] * (mean / denominator), following


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `p ← (1 - lr·λ)·p` before Adam's step."""

    decoupled = True

    def __init__(
        self,
        parameters: Trained = None,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad, **options)
