"""Pictures of a run: what mmengine's visualizer is handed while a fusion model is validated or tested."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mtkd_rl.errors import check_number
from mtkd_rl.fusion.structures import FusionDataSample
from mtkd_rl.registry import HOOKS


@HOOKS.register_module()
class FusionVisualizationHook(Hook):
    """Draws the first pairs of every validation and test, through the visualizer of the config.

    Args:
        pictures: How many pairs, at least 1.

    Raises:
        MTKDError: It is no whole number of at least 1.
    """

    def __init__(self, pictures: int = 4) -> None:
        check_number('FusionVisualizationHook', 'pictures', pictures, low=1, whole=True)
        self.pictures = pictures
        self._left = 0

    def before_val(self, runner: Runner) -> None:
        """Begins to count anew."""
        self._left = self.pictures

    before_test = before_val

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[FusionDataSample] | None = None,
    ) -> None:
        """Hands pairs to the visualizer."""
        for sample in (outputs or [])[: self._left]:
            runner.visualizer.add_datasample(sample.metainfo.get('name', 'pair'), None, sample, step=runner.iter)
            self._left -= 1

    after_test_iter = after_val_iter
