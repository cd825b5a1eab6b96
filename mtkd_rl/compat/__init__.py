"""mmcv's operators without its compiled extension, so that ``mmcv.ops`` and ``mmdet.models`` import and work.

Importing this is all there is to do; ``mtkd_rl`` itself does it. It has to come before the first import of a toolbox's
models, which ask for the operators then and go without for good where there are none. Where mmcv was not compiled,
``mmcv._ext`` is then ``mtkd_rl/compat/extension.py``, over torchvision's operators and plain torch. A compiled
extension goes first, and nothing else of mtkd_rl is imported.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

NAME = 'mmcv._ext'
"""The module that mmcv loads its compiled operators from."""


class ExtensionFinder:
    """Finds the stand-in for `NAME`; last in ``sys.meta_path``, so that it is asked when nobody else has the module."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The specification of the stand-in, ``None`` for any other module."""
        return spec_from_file_location(NAME, Path(__file__).with_name('extension.py')) if name == NAME else None


sys.meta_path.append(ExtensionFinder)
