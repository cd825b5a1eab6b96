"""Published students: ``mtkd_rl.zoo.list()`` names them, ``mtkd_rl.zoo.load(name)`` gives one that is ready to use.

Nothing is unpickled: weights and all that is known of a student are in one safetensors file, whose hash is in its name,
in full in the ``metafile.yml`` beside it, and checked before a byte of it is read. A student comes from the package,
from a folder, or from a base URL, that ``tools/publish_model.py`` has made.
"""

from mtkd_rl.zoo.index import Entry, entry, list
from mtkd_rl.zoo.load import Student, load

__all__ = ['Entry', 'Student', 'entry', 'list', 'load']
