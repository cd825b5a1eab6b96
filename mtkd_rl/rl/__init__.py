"""The agent: what it sees, what it is told, stable-baselines3's PPO around it, and a gymnasium environment."""

from mtkd_rl.rl.reward import CombinedReward, CreditReward, PaperReward, Reward

__all__ = ['CombinedReward', 'CreditReward', 'PaperReward', 'Reward']
