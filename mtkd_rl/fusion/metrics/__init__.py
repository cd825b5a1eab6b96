"""Metrics of fused pictures, each under a protocol that says what its number means; see docs/fusion-metrics.md."""

from mtkd_rl.fusion.metrics.base import LOWER_IS_BETTER, NAMES, Metric, Protocol
from mtkd_rl.fusion.metrics.evaluator import FusionMetric
from mtkd_rl.fusion.metrics.ideal import IdealMetric, to_ideal
from mtkd_rl.fusion.metrics.scoring import PROTOCOLS, means, score, trivial

__all__ = [
    'LOWER_IS_BETTER',
    'NAMES',
    'PROTOCOLS',
    'FusionMetric',
    'IdealMetric',
    'Metric',
    'Protocol',
    'means',
    'score',
    'to_ideal',
    'trivial',
]
