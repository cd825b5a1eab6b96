"""Credit for a decision: what following one teacher alone on one sample would do to the student.

A reward that only says how well the student does tells the agent almost nothing, because samples differ far more than
decisions do. The first-order effects of all teachers on a sample are known at once and cost one backward pass through
a loss each, so the agent can be told how its decision compares with others on the same sample. Both quantities are
gradients at the point where the teacher teaches: the logits, or the tapped feature.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mtkd_rl.errors import MTKDError
from mtkd_rl.parallel import global_mean
from mtkd_rl.types import Credit, Outputs, Points


def pulls(columns: Sequence[Tensor], at: Tensor) -> Tensor:
    """The gradient of every teacher's losses at one point of the student's graph, which is kept.

    Args:
        columns: Each teacher's unreduced losses ``(B,)``, depending on ``at``. Not cut from a stack of them: the way
            back from a stack goes through all teachers, with zeros, for each of them.
        at: A tensor ``(B, ...)`` of the graph.

    Returns:
        ``(B, M, ...)``, float32.
    """
    return torch.stack([gradients(column.sum(), [at])[0] for column in columns], dim=1)


def alignments(
    columns: Sequence[Tensor], task_pulls: Sequence[Tensor], at: Sequence[Tensor], images: Tensor | None = None
) -> Tensor:
    """The cosines of ``alignment``, one teacher at a time, so that only one gradient of a feature is held.

    Args:
        columns: Each teacher's unreduced losses ``(B,)``, depending on ``at``.
        task_pulls: The task's gradients at ``at``, of its shapes.
        at: Tensors of the graph, which are compared as one vector a sample.
        images: Sample of each of their rows, int64; ``None`` where the first dimension is the sample.

    Returns:
        ``(B, M)`` in [-1, 1]; 0 where a gradient vanishes.
    """
    size = len(columns[0])

    def dots(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        rows = [(x.flatten(1) * y.flatten(1)).sum(dim=1) for x, y in zip(a, b)]
        if images is None:
            return torch.stack(rows).sum(dim=0)
        return torch.stack([x.new_zeros(size).index_add(0, images, x) for x in rows]).sum(dim=0)

    length = dots(task_pulls, task_pulls).sqrt()
    cosines = []
    for column in columns:
        teacher_pulls = gradients(column.sum(), at)
        product = length * dots(teacher_pulls, teacher_pulls).sqrt()
        cosine = dots(task_pulls, teacher_pulls) / product.clamp(min=1e-24)
        cosines.append(cosine.clamp(-1.0, 1.0))
    return torch.stack(cosines, dim=1)


def alignment(task_pull: Tensor, teacher_pulls: Tensor) -> Tensor:
    """Cosine of the task's gradient and each teacher's: 1 where a teacher pulls as the label does, -1 where against it.

    Args:
        task_pull: ``(B, ...)``.
        teacher_pulls: ``(B, M, ...)``.

    Returns:
        ``(B, M)`` in [-1, 1]; 0 where either vanishes.
    """
    return F.cosine_similarity(teacher_pulls.flatten(2), task_pull.flatten(1).unsqueeze(1), dim=2, eps=1e-12)


def effect(teacher_pulls: Tensor, embedding: Tensor, reference: Tensor) -> Tensor:
    """First-order decrease of the loss on other samples when the last layer follows one teacher on one sample.

    A step along teacher m's gradient ``g`` on sample i moves the last layer by ``-eta g h^T``, with ``h`` the
    embedding; with G the gradient of the reference loss in the last layer's weight, the loss falls by ``eta g^T G
    h``. Returned for ``eta = 1``.

    Args:
        teacher_pulls: Gradients on the logits, ``(B, M, C)``.
        embedding: ``(B, D)``.
        reference: G, ``(C, D)``.

    Returns:
        ``(B, M)``; positive is good.
    """
    return torch.einsum('bmc,cd,bd->bm', teacher_pulls, reference, embedding)


def standardise_over_teachers(x: Tensor, present: Tensor) -> Tensor:
    """Zero mean and unit variance over the teachers of each sample, so that only the comparison remains.

    Args:
        x: ``(B, M)``.
        present: Bool ``(M,)``; the others are left out of mean and variance and become 0.

    Returns:
        ``(B, M)``; 0 where all teachers are equal, or only one is present.
    """
    here = present.to(x.dtype)
    count = here.sum().clamp(min=1.0)
    x = torch.where(present, x, 0.0)
    centred = (x - x.sum(dim=1, keepdim=True) / count) * here
    spread = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    return centred / (spread + 1e-8 + 1e-4 * x.abs().amax(dim=1, keepdim=True))


class CreditAssigner:
    """Computes the credit of every teacher on every sample, and keeps what that needs from the batches before.

    The reference loss of ``effect`` is that of the training batches before this one, as a running mean of their last
    layer's gradients. They are other pictures than the ones being decided on (an epoch draws without replacement), so
    they serve as the held-out batch without taking any picture away from the student's training.

    Args:
        momentum: How much of the running mean a new batch leaves, in [0, 1).
    """

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self.reference: Tensor | None = None

    def __call__(
        self,
        student: Outputs,
        points: Points,
        target: Tensor | None,
        columns: Mapping[str, Sequence[Tensor]],
        effects: bool = True,
    ) -> dict[str, Credit]:
        """Credit of each kind of knowledge, ``logit`` and ``feature``, that is switched on.

        Args:
            student: Outputs with their graph.
            points: Where gradients are compared.
            target: Soft labels ``(B, C)``; ``None`` where a picture has no one label, and so no effect is known.
            columns: Kind to each teacher's unreduced losses ``(B,)``, with their graph.
            effects: Whether to compute effects, and keep the running mean that they need.
        """
        credit = {}
        if target is None:
            at = {'logit': points.logits, 'feature': points.feature}
            taught = {'logit': points.logits, 'feature': points.taught}
            tensors = [x for kind in columns for x in at[kind]]
            pulled = iter(gradients(points.loss, tensors))
            for kind in columns:
                own = [next(pulled) for _ in at[kind]]
                images = points.images if kind == 'logit' else None
                credit[kind] = Credit(alignments(columns[kind], own, taught[kind], images), None)
            return credit
        residual = (torch.softmax(student.logits.detach(), dim=1) - target).detach()
        embedding = student.embedding.detach()
        if 'logit' in columns:
            logit_pulls = pulls(columns['logit'], student.logits)
            products = torch.einsum('bmc,bnc->bmn', logit_pulls, logit_pulls) if effects else None
            others, reach = None, None
            if effects and self.reference is not None:
                others = effect(logit_pulls, embedding, self.reference)
                reach = (embedding @ self.reference.T).norm(dim=1)
            credit['logit'] = Credit(alignment(residual, logit_pulls), others, products, reach)
        if 'feature' in columns:
            task_pulls = gradients(points.loss, points.feature)
            credit['feature'] = Credit(alignments(columns['feature'], task_pulls, points.taught), None)
        if effects:
            self._look(residual.T @ embedding / len(residual))
        return credit

    def _look(self, gradient: Tensor) -> None:
        """Takes a batch in; one that is not finite is passed over, or it would stay in the mean for good."""
        gradient = global_mean(gradient)
        old = torch.zeros_like(gradient) if self.reference is None else self.reference
        new = gradient if self.reference is None else self.momentum * old + (1 - self.momentum) * gradient
        self.reference = torch.where(torch.isfinite(gradient).all(), new, old)

    def state_dict(self) -> dict[str, Tensor | None]:
        """The running mean, to be saved."""
        return {'reference': self.reference}

    def load_state_dict(self, state: dict[str, Tensor | None], device: torch.device) -> None:
        """Takes a saved running mean."""
        reference = state['reference']
        self.reference = None if reference is None else reference.to(device)


def gradients(loss: Tensor, at: Sequence[Tensor]) -> list[Tensor]:
    """Gradients in float32; zero where the loss does not depend on the point (as below a frozen backbone).

    Args:
        loss: Scalar, whose graph is kept.
        at: Tensors of its graph.

    Raises:
        MTKDError: Activation checkpointing lies between.
    """
    found: list[Tensor | None] = [None] * len(at)
    wanted = [i for i, x in enumerate(at) if x.requires_grad and loss.requires_grad]
    try:
        if wanted:
            for i, gradient in zip(
                wanted, torch.autograd.grad(loss, [at[i] for i in wanted], retain_graph=True, allow_unused=True)
            ):
                found[i] = gradient
    except RuntimeError as error:
        if 'use_reentrant' not in str(error):
            raise
        raise MTKDError(
            "activation_checkpointing covers layers between the student's feature and its logits, through which no "
            'credit can be computed; leave them out of it, name a student_layer behind them, or set feature_loss=None'
        ) from None
    return [
        torch.zeros_like(x, dtype=torch.float32) if gradient is None else gradient.detach().float()
        for x, gradient in zip(at, found)
    ]
