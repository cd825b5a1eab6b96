"""What the published code of MTKD-RL spends, as a loop that shares nothing with this project's."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional

from mtkd_rl.benchmark.turns import TurnLoop

TEMPERATURE, FEATURE_WEIGHT = 4.0, 5.0


class NaiveLoop(TurnLoop):
    """Trains with teachers one after another: evaluation mode, no gradient, float32, contiguous, equal weights.

    Of every picture, the losses of winycg/MTKD-RL's train_student_rl.py: cross entropy, and of each teacher
    ``T^2 KL(teacher || student)`` on logits and the mean squared error on the last feature map, behind a 1x1
    convolution of the student's. For classifiers of mmpretrain; teachers are the configs in ``naive_pool``, with random
    weights.
    """

    def stepper(self, batches: Sequence[Any]) -> Callable[[], Any]:
        """A whole training step, without hooks."""
        student: Any = self.runner.model
        optimizer: Any = self.runner.optim_wrapper
        teachers = [
            MODELS.build(Config.fromfile(path).model).to(self.device).eval().requires_grad_(False)
            for path in self.runner.cfg.naive_pool
        ]
        with torch.no_grad():
            inputs = student.data_preprocessor(batches[0], True)['inputs']
            ours, *theirs = (model.backbone(inputs)[-1].shape[1] for model in (student, *teachers))
        adapters = [nn.Conv2d(ours, width, 1).to(self.device) for width in theirs]
        of_adapters = torch.optim.SGD([weight for each in adapters for weight in each.parameters()], lr=1e-3)
        turns = cycle(batches)

        def step() -> None:
            data = student.data_preprocessor(next(turns), True)
            label = torch.cat([sample.gt_label for sample in data['data_samples']])
            feature, logits = said(student, data['inputs'])
            loss = functional.cross_entropy(logits, label)
            for teacher, adapter in zip(teachers, adapters):
                with torch.no_grad():
                    feature_of_teacher, logits_of_teacher = said(teacher, data['inputs'])
                pair = functional.log_softmax(logits / TEMPERATURE, 1), (logits_of_teacher / TEMPERATURE).softmax(1)
                kd = functional.kl_div(*pair, reduction='batchmean') * TEMPERATURE**2
                mse = functional.mse_loss(*same_size(adapter(feature), feature_of_teacher))
                loss = loss + 0.0 * (kd + FEATURE_WEIGHT * mse) / len(teachers)  # 0: see ``variant``
            optimizer.update_params(loss)
            of_adapters.step()
            of_adapters.zero_grad()

        return step


def said(model: Any, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The last feature map and the logits of a classifier."""
    feature = model.backbone(inputs)[-1]
    return feature, model.head.fc(model.neck((feature,))[-1])


def same_size(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps at the smaller of both sizes, by averages."""
    height, width = min(one.shape[-2:], other.shape[-2:])
    return functional.adaptive_avg_pool2d(one, (height, width)), functional.adaptive_avg_pool2d(other, (height, width))
