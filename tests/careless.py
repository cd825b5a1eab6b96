"""What users may write and hand to the hook by its dotted name, each wrong in its own way."""

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from mtkd_rl.datasets import Digits
from mtkd_rl.weighting.base import Formula, everywhere


class WrongShape(Formula):
    def decide(self, state):
        return everywhere(torch.ones(len(state.target), 5))


class BareTensor(Formula):
    def decide(self, state):
        return torch.ones(len(state.target), 2)


class Raising(Formula):
    def decide(self, state):
        return state.no_such_field


class NotFinite(Formula):
    def decide(self, state):
        return everywhere(torch.full((len(state.target), 2), float('nan')))


class Negative(Formula):
    def decide(self, state):
        return everywhere(torch.tensor([1.5, -0.5]).expand(len(state.target), 2))


class NoStrategy:
    pass


class Reduced:
    kind = 'logit'

    def __call__(self, student, teacher, target, temperature):
        return (student - teacher).square().mean()


class ReducedReward:
    wants_credit = False

    def __call__(self, feedback):
        return torch.tensor(1.0)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Network(nn.Module):
    """A teacher that answers as it is told to."""

    def __init__(self, answer: str = 'logits') -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.layer = nn.Linear(64, 10)
        self.answer = answer
        self.calls = 0

    def forward(self, pictures: Tensor):
        self.calls += 1
        logits = self.layer(pictures.flatten(1))[:, :10]
        if self.answer == 'late' and self.calls > 3:
            raise RuntimeError('the cable was pulled')
        if self.answer == 'memory':
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
        answers = dict(
            dict=lambda: {'logits': logits},
            tuple=lambda: (logits, pictures),
            half=lambda: logits[:7],
            numbers=lambda: logits.argmax(1),
            whole=lambda: (100 * logits).long(),
            refuse=lambda: logits.reshape(3, 3),
            value=lambda: logits.sum().item(),
        )
        return answers.get(self.answer, lambda: logits)()


class Bare(nn.Module):
    """A teacher without a single parameter."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)[:, :10]


class NoLabels(Digits):
    """Pictures without a label."""

    def load_data_list(self):
        return [{key: value for key, value in each.items() if key != 'gt_label'} for each in super().load_data_list()]


class TwoWrappers(DefaultOptimWrapperConstructor):
    """An optimizer for the backbone and one for the head."""

    def __call__(self, model):
        parts = dict(backbone=model.backbone, head=model.head)
        return OptimWrapperDict(
            **{name: OptimWrapper(torch.optim.SGD(part.parameters(), lr=0.1)) for name, part in parts.items()}
        )


def nothing() -> None:
    """A builder that forgets its return."""
