"""The adapters' own optimizer.

They are no part of the student, so they are not in its optimizer either: schedulers, clipping and checkpoints of the
student stay as they are. This one follows the student's in what it does to gradients: accumulation, the scale of
mixed precision, clipping, averaging over processes, and the learning rate's schedule in proportion.
"""

from typing import Any

import torch
from mmengine.dist import all_reduce_params, get_world_size
from mmengine.optim import OptimWrapper
from torch import nn


class AdapterOptimizer:
    """Adam on the adapters.

    Args:
        lr: Learning rate where the student's is at its base value.
    """

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.optimizer: torch.optim.Optimizer | None = None
        self._saved: dict[str, Any] | None = None
        self._scale: torch.Tensor | None = None
        self._gradients: list[torch.Tensor | None] = []

    def attach(self, adapters: nn.ModuleList) -> None:
        """Takes the adapters on, once they are made; no adapters need no optimizer."""
        parameters = list(adapters.parameters())
        if self.optimizer is None and parameters:
            self.optimizer = torch.optim.Adam(parameters, lr=self.lr)
            if self._saved is not None:
                self.optimizer.load_state_dict(self._saved)
                self._saved = None
            set_gradients(adapters, self._gradients)

    def before_step(self, wrapper: OptimWrapper) -> None:
        """Remembers the loss scale, which the scaler may change right after the student's step."""
        scaler = getattr(wrapper, 'loss_scaler', None)
        if scaler is not None and scaler.is_enabled():
            self._scale = torch.tensor(scaler._init_scale) if scaler._scale is None else scaler._scale.clone()

    def step(self, wrapper: OptimWrapper) -> None:
        """Follows the student's optimizer: a step if that just took one.

        Args:
            wrapper: The student's, after its ``update_params``.
        """
        if self.optimizer is None or not wrapper.should_update():
            return
        group = self.optimizer.param_groups[0]
        parameters = [parameter for parameter in group['params'] if parameter.grad is not None]
        if parameters:
            if get_world_size() > 1:
                all_reduce_params([parameter.grad for parameter in parameters], op='mean')
            if self._scale is not None:
                _unscale(parameters, self._scale)
            if wrapper.clip_grad_kwargs:
                wrapper.clip_func(parameters, **wrapper.clip_grad_kwargs)
            student = wrapper.optimizer.param_groups[0]
            base = student.get('max_lr', student.get('initial_lr', student['lr']))
            # a group that is held still (a learning rate of 0) has no course to follow
            group['lr'] = self.lr * (student['lr'] / base if base else 1.0)
            self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any] | None:
        """Adam's state; ``None`` before the first step."""
        return self._saved if self.optimizer is None else self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any] | None, gradients: list[torch.Tensor | None]) -> None:
        """Takes a saved state, and gradients as ``gradients_of`` gives them, when the adapters are attached."""
        self._saved = state
        self._gradients = gradients


def gradients_of(module: nn.Module | None) -> list[torch.Tensor | None]:
    """The gradients that have been accumulated, on the CPU, one a parameter."""
    parameters = [] if module is None else module.parameters()
    return [None if parameter.grad is None else parameter.grad.cpu() for parameter in parameters]


def set_gradients(module: nn.Module, gradients: list[torch.Tensor | None]) -> None:
    """Puts back what ``gradients_of`` gave; an empty list leaves all as it is."""
    for parameter, gradient in zip(module.parameters(), gradients):
        parameter.grad = None if gradient is None else gradient.to(parameter.device)


def _unscale(parameters: list[nn.Parameter], scale: torch.Tensor) -> None:
    """Undoes the loss scale; what overflowed becomes 0, so that no step has to wait to find out."""
    for parameter in parameters:
        assert parameter.grad is not None
        torch.nan_to_num_(parameter.grad.div_(scale), nan=0.0, posinf=0.0, neginf=0.0)
