"""Hessian-free optimization (Martens 2010; Martens and Sutskever 2011) by the compiled tangent and backward loops."""

from carousel.training.hessian_free.conjugate_gradients import conjugate_gradients
from carousel.training.hessian_free.linearized import Linearized, Objective
from carousel.training.hessian_free.optimizer import HessianFree, Step

__all__ = ["HessianFree", "Linearized", "Objective", "Step", "conjugate_gradients"]
