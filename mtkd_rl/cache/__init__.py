"""What teachers said of augmented views of the samples, kept on disk, so that they need not say it again."""

from mtkd_rl.cache.install import install, take_views
from mtkd_rl.cache.teacher_cache import TeacherCache, build_cache

__all__ = ['TeacherCache', 'build_cache', 'install', 'take_views']
