"""Derivatives of graphs, as graphs: reverse mode, forward mode, products with the Hessian, and the checker."""

from graphc.transforms.check import check_gradients
from graphc.transforms.forward import hessian, hvp, jvp
from graphc.transforms.reverse import grad, jacobian, value_and_grad, vjp

__all__ = ["check_gradients", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]
