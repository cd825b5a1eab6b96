"""What ``tools/doctor.py`` finds out about a config's teachers before training."""

from mtkd_rl.doctor.examine import Options, examine
from mtkd_rl.doctor.report import Finding, Report, TeacherReport

__all__ = ['Finding', 'Options', 'Report', 'TeacherReport', 'examine']
