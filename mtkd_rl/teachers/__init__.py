"""Where teachers come from, and the pool that they make."""

from mtkd_rl.teachers.base import Source
from mtkd_rl.teachers.checkpoint import LoadReport, load_into, locate, read_checkpoint, sha256_of, state_dict_of
from mtkd_rl.teachers.contract import InputContract, contract_of, convert, loaded_order
from mtkd_rl.teachers.openmmlab import OpenMMLab
from mtkd_rl.teachers.pool import Teacher, build_pool, compare_manifests, manifest
from mtkd_rl.teachers.sources import Callable, Timm, Torchvision

__all__ = [
    'Callable',
    'InputContract',
    'LoadReport',
    'OpenMMLab',
    'Source',
    'Teacher',
    'Timm',
    'Torchvision',
    'build_pool',
    'compare_manifests',
    'contract_of',
    'convert',
    'load_into',
    'loaded_order',
    'locate',
    'manifest',
    'read_checkpoint',
    'sha256_of',
    'state_dict_of',
]
