"""The policy networks, as stable-baselines3 wants them."""

from typing import Any

import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from mtkd_rl.rl.action import ActionLayout


class TeacherEncoder(nn.Module):
    """One small network for all teachers, each seen beside the mean of all codes.

    A permutation of the teachers permutes the scores in the same way and leaves strength and value alone, and the
    parameters do not depend on the number of teachers (Zaheer et al. 2017, Deep Sets).

    Args:
        features: Scalars a teacher.
        layout: The action.
        width: Hidden width.
    """

    def __init__(self, features: int, layout: ActionLayout, width: int) -> None:
        super().__init__()
        self.features = features
        self.layout = layout
        self.encode = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.Tanh(), nn.Linear(width, layout.per_teacher))
        self.strength = nn.Linear(width, layout.shared) if layout.shared else None
        self.latent_dim_pi = layout.width
        self.latent_dim_vf = width

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean action ``(B, width of the action)`` and the value network's input ``(B, width)``."""
        return self._both(observation)

    def forward_actor(self, observation: Tensor) -> Tensor:
        """Mean action."""
        return self._both(observation)[0]

    def forward_critic(self, observation: Tensor) -> Tensor:
        """Input of the value network."""
        return self._both(observation)[1]

    def _both(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.encode(observation.unflatten(1, (self.layout.teachers, self.features)))
        pooled = codes.mean(dim=1)
        beside = torch.cat([codes, pooled.unsqueeze(1).expand_as(codes)], dim=2)
        scores = self.score(beside).transpose(1, 2).flatten(1)
        if self.strength is None:
            return scores, pooled
        return torch.cat([scores, self.strength(pooled)], dim=1), pooled


class SharedTeacherPolicy(ActorCriticPolicy):
    """Actor and critic over ``TeacherEncoder``; the noise has one scale a kind of knowledge, not one a teacher.

    Args:
        layout: The action.
        width: Hidden width of the encoder.
    """

    def __init__(self, *args: Any, layout: ActionLayout, width: int = 32, **kwargs: Any) -> None:
        self.layout = layout
        self.width = width
        super().__init__(*args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        features = self.features_dim // self.layout.teachers
        self.mlp_extractor = TeacherEncoder(features, self.layout, self.width)  # type: ignore[assignment]

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        # The encoder says the mean action itself: a linear layer over all teachers would tell them apart by position.
        self.action_net = nn.Identity()
        self.log_std = nn.Parameter(
            torch.full((self.layout.per_teacher + self.layout.shared,), float(self.log_std_init))
        )
        # Small first scores: the first decisions are equal weights, give or take the noise.
        encoder: Any = self.mlp_extractor
        nn.init.orthogonal_(encoder.score[-1].weight, gain=0.01)
        if self.layout.shared:
            nn.init.orthogonal_(encoder.strength.weight, gain=0.01)
        options: dict[str, Any] = {'lr': lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **options)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        layout = self.layout
        shared = self.log_std[layout.per_teacher :]
        log_std = torch.cat([self.log_std[: layout.per_teacher].repeat_interleave(layout.teachers), shared])
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        return self.action_dist.proba_distribution(latent_pi, log_std)
