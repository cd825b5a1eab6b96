"""What the three toolboxes ship: families of configs, and which of them are models of the toolbox's own task."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from mtkd_rl.errors import MTKDError, candidates


class Toolbox(NamedTuple):
    """One toolbox.

    Attributes:
        distribution: Its package's name on the registry, with the one of the original toolbox after it.
        task: What its models do.
        own: Module and class that all models of the task are of.
        others: Module and class of models that the toolbox has besides, to what they are.
    """

    distribution: tuple[str, str]
    task: str
    own: str
    others: dict[str, str]


TOOLBOXES = {
    'mmpretrain': Toolbox(
        ('onedl-mmpretrain', 'mmpretrain'),
        'classification',
        'mmpretrain.models.classifiers.base:BaseClassifier',
        {
            'mmpretrain.models.selfsup.base:BaseSelfSupervisor': 'self-supervised',
            'mmpretrain.models.retrievers.base:BaseRetriever': 'retrieval',
            'mmengine.model:BaseModel': 'multi-modal',
        },
    ),
    'mmdet': Toolbox(
        ('onedl-mmdetection', 'mmdet'),
        'detection',
        'mmdet.models.detectors.base:BaseDetector',
        {
            'mmdet.models.detectors.semi_base:SemiBaseDetector': 'semi-supervised',
            'mmdet.models.detectors.glip:GLIP': 'multi-modal (pictures and text)',
            'mmdet.models.detectors.grounding_dino:GroundingDINO': 'multi-modal (pictures and text)',
            'mmdet.models.detectors.clrnet_detector:CLRNet': 'lane detection',
            'mmdet.models.mot.base:BaseMOTModel': 'tracker, or another model of videos',
            'mmdet.models.reid.base_reid:BaseReID': 're-identification',
        },
    ),
    'mmseg': Toolbox(
        ('onedl-mmsegmentation', 'mmsegmentation'),
        'segmentation',
        'mmseg.models.segmentors.base:BaseSegmentor',
        {
            'mmseg.models.segmentors.depth_estimator:DepthEstimator': 'depth estimation',
            'mmseg.models.segmentors.multimodal_encoder_decoder:MultimodalEncoderDecoder': (
                'multi-modal (pictures and text)'
            ),
        },
    ),
}

SMALL = ['atto', 'femto', 'pico', 'nano', 'xxs', 'xs', 'xxsmall', 'xsmall', 'tiny', 't', 's', 'small', 'a0', 'b0', 's0']
LARGE = ['b', 'base', 'm', 'medium', 'l', 'large', 'h', 'huge', 'g', 'giant', 'x', 'xl', 'xlarge']
"""Words in a config's name by which it is small or large, the smallest first."""

PARTS = ['mask', 'cascade', 'htc', 'detectors', 'ins', 'panoptic', 'scnet', 'upernet', 'uperhead']
"""Words that tell of more parts in a model of the same backbone."""

TRIED = 3
"""Configs of a family with a model of the task that are tried, the smallest first, until one trains plainly."""


def root_of(toolbox: str) -> Path:
    """The folder that holds the toolbox's ``configs``, from where its own relative paths start.

    Raises:
        MTKDError: The toolbox is not installed, or carries no configs.
    """
    spec = find_spec(toolbox)
    root = Path(spec.origin).parent / '.mim' if spec is not None and spec.origin is not None else None
    if root is None or not (root / 'configs').is_dir():
        raise MTKDError(
            f'{toolbox} is not installed with its configs; install {" or ".join(TOOLBOXES[toolbox].distribution)}'
        )
    return root


def families(toolbox: str) -> dict[str, list[str]]:
    """The configs of each family that ships with a toolbox.

    Returns:
        Family to paths below ``configs``, the smallest first by `size_by_name`.
    """
    root = root_of(toolbox) / 'configs'
    found: dict[str, list[str]] = {}
    for path in sorted(root.glob('*/**/*.py')):
        relative = path.relative_to(root)
        if not any(part.startswith('_') for part in relative.parts):
            found.setdefault(relative.parts[0], []).append(relative.as_posix())
    return {family: sorted(configs, key=size_by_name) for family, configs in found.items()}


def family_of(toolbox: str, config: str) -> tuple[str, str]:
    """The family of a config.

    Args:
        toolbox: One of `TOOLBOXES`.
        config: A path, a path below the toolbox's ``configs``, or ``toolbox::path``.

    Returns:
        The family and the path below ``configs`` (or, of a config from elsewhere, its folder and whole path).

    Raises:
        MTKDError: There is no such config.
    """
    root = root_of(toolbox) / 'configs'
    relative = config.removeprefix(f'{toolbox}::')
    path = (root / relative if (root / relative).is_file() else Path(config)).resolve()
    if not path.is_file():
        names = [name for group in families(toolbox).values() for name in group]
        raise MTKDError(f'{toolbox} has no config {config}; did you mean: {candidates(relative, names)}')
    if not path.is_relative_to(root.resolve()):
        return path.parent.name, str(path)
    below = path.relative_to(root.resolve())
    return below.parts[0], below.as_posix()


def size_by_name(config: str) -> tuple[int, int, int, int, int, str]:
    """A key that sorts configs of one family by size, as far as their names tell.

    In this order: configs in the family's own folder before those below it; the first word of `SMALL`, no such word, or
    the first of `LARGE`; how many words of `PARTS`; the smallest depth or width (``r18``, ``resnet50``, ``w18``,
    ``400mf``); the length of the name; the name.
    """
    name = Path(config).stem.lower()
    words = re.split(r'[-_.]', name)
    order = [*SMALL, '', *LARGE]
    rank = min((order.index(word) for word in words if word in order), default=len(SMALL))
    parts = sum(word in PARTS for word in words)
    numbers = [int(number) for number in re.findall(r'(?<![a-z\d.])[a-z]*(\d{2,3})(?:mf)?(?![a-z\d])', name)]
    return config.count('/'), rank, parts, min(numbers, default=999), len(name), name
