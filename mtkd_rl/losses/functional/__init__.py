"""The mathematics of knowledge: pure functions that return one float32 value a sample (float64 for float64 input).

The mean over the batch of each loss is the loss its paper publishes.
"""

from .features import channel_wise_kl, cosine, mse, pkd, pool, relational_similarity
from .logits import channel_wise_logits, dist, dkd, kd, kl_divergence, standardise
from .pictures import l1, sobel, ssim

__all__ = [
    'channel_wise_kl',
    'channel_wise_logits',
    'cosine',
    'dist',
    'dkd',
    'kd',
    'kl_divergence',
    'l1',
    'mse',
    'pkd',
    'pool',
    'relational_similarity',
    'sobel',
    'ssim',
    'standardise',
]
