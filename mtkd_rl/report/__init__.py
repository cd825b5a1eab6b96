"""A run as one page to look at: curves, who taught how much and where, on which pictures, and what it was made with."""

from mtkd_rl.report.page import write_report
from mtkd_rl.report.samples import Trust, trust

__all__ = ['Trust', 'trust', 'write_report']
