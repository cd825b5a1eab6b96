"""What the command-line tools share: configs by name, checks before a run, and errors in one line."""

import functools
import inspect
import os
import sys
import tempfile
import traceback
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config, DictAction
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.device import get_device
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS, RUNNERS
from mmengine.runner import Runner
from mmengine.utils import is_installed
from torch import nn

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.teachers.checkpoint import locate, read_checkpoint, state_dict_of
from mtkd_rl.teachers.restricted import restricted
from mtkd_rl.trust import check_before_loading


def reports_errors(main: Callable[..., int | None]) -> Callable[..., int]:
    """Turn a tool's ``main`` into one that prints an `MTKDError` as one line on stderr instead of a traceback.

    Args:
        main: Takes the command line's arguments, ``None`` for those of the process.

    Returns:
        A function of the same argument that returns the exit status: what ``main`` returns, 0 for nothing, or 1 after
        an `MTKDError`. What else is raised passes.
    """

    @functools.wraps(main)
    def reporting(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv) or 0
        except MTKDError as error:
            line = ' '.join(str(_innermost(error)).split())
            red, plain = ('\033[31m', '\033[0m') if sys.stderr.isatty() else ('', '')
            print(f'{red}error: {line}{plain}', file=sys.stderr)
            return 1

    return reporting


def _innermost(error: MTKDError) -> MTKDError:
    """The error without what mmengine's registries put before it when they raise it anew: the class being built."""
    while isinstance(error.__context__, MTKDError) and str(error).startswith('class '):
        error = error.__context__
    return error


def parse_arguments(parser: ArgumentParser, argv: Sequence[str] | None) -> Namespace:
    """Add what every tool takes and parse the command line.

    Args:
        parser: Has the tool's own arguments.
        argv: The arguments, ``None`` for those of the process.

    Returns:
        The parsed arguments. The environment gets ``LOCAL_RANK`` when a launcher has not set it.
    """
    parser.add_argument('--work-dir', help='folder for logs and checkpoints (default: work_dirs/<name of the config>)')
    parser.add_argument(
        '--trust', action='store_true', help='read a checkpoint even where that can run code which the file holds'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, for example optim_wrapper.optimizer.lr=0.01 or key="[(a,b),(c,d)]"',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help='set by some launchers')
    try:
        args = parser.parse_args(argv)
    except ValueError:  # DictAction met an item without '=', for example the config after the options
        parser.error('argument --cfg-options: expected KEY=VALUE items; CONFIG comes before them')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def positive(text: str) -> int:
    """The ``type`` of a command line's argument that counts from 1.

    Raises:
        ValueError: It is no whole number, or less than 1; argparse makes a line of it.
    """
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def know_packages() -> None:
    """Let mmengine resolve ``mtkd_rl::...`` and, with the maintained continuation of mmseg, ``mmseg::...``.

    mmengine knows the packages of OpenMMLab by a table; ``mmseg`` stands there under the name of the original
    distribution, which it does not find when mmseg comes from another one.
    """
    MODULE2PACKAGE['mtkd_rl'] = 'mtkd_rl'
    if not is_installed(MODULE2PACKAGE['mmseg']):
        MODULE2PACKAGE['mmseg'] = 'mmseg'


def find_config(name: str) -> Path:
    """The file that a config's name means.

    Args:
        name: A path, or ``package::path`` for a config that an installed package carries.

    Raises:
        MTKDError: If the package or the file is not there; names the files that were meant.
    """
    package, separator, relative = name.rpartition('::')
    path = Path(relative).expanduser()
    if separator:
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or spec.origin is None:
            raise MTKDError(f'config {name}: there is no installed package {package!r}')
        path = Path(spec.origin).parent / '.mim' / 'configs' / relative
    if path.is_file():
        return path
    others = candidates(path.name, sorted(file.name for file in path.parent.glob('*.py')))
    hint = f'that folder has {others}' if others else 'correct the path'
    raise MTKDError(f'config {name}: there is no file {path}; {hint}')


def load_config(name: str) -> Config:
    """Read a config by path or as ``package::path``.

    Raises:
        MTKDError: If the config, one of its bases or what they import is not there, if it is no config by its ending,
            or has a syntax error, which is named with file and line.
    """
    know_packages()
    path = find_config(name)
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        files = [frame.f_locals['filename'] for frame in frames if frame.f_code.co_name == '_is_lazy_import']
        where = files[-1] if files else error.filename  # mmengine parses text, so that only its frames know the file
        raise MTKDError(f'config {name}: {error.msg} in {where}, line {error.lineno}') from error
    except (OSError, ImportError) as error:
        where = ', or a module of custom_imports is not found: run with PYTHONPATH=. or as python -m mtkd_rl'
        hint = where if 'custom_imports' in path.read_text() else ''
        raise MTKDError(f'config {name}: {error}{hint}') from error


def prepare(cfg: Config, args: Namespace) -> None:
    """Merge what every tool takes into a config: launcher, work dir, loaders, ``--cfg-options``.

    Args:
        cfg: Changed in place. Without a work dir of its own it gets ``work_dirs/<name of the config>``.
        args: From `parse_arguments`.
    """
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(args.config).stem))
    try:
        cfg.merge_from_dict(args.cfg_options)
    except (KeyError, TypeError) as error:
        raise MTKDError(
            f'--cfg-options {" ".join(args.cfg_options)}: {type(error).__name__} {str(error)[:120]}; '
            'an item of a list is named by its number, as in custom_hooks.0.temperature=2'
        ) from None
    if cfg.get('default_scope') == 'mmpretrain':
        _complete_loaders(cfg)
    if cfg.launcher == 'pytorch' and get_device() == 'cpu' and not torch.distributed.is_initialized():
        # mmengine's own start and wrapper ask for a GPU; given a running group and a wrapper's config, they do not
        torch.distributed.init_process_group('gloo')
        wrapper = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        cfg.model_wrapper_cfg = cfg.get('model_wrapper_cfg') or wrapper


def _complete_loaders(cfg: Config) -> None:
    """Give the loaders what mmpretrain's configs leave to the tool; the other toolboxes' configs are complete."""
    for field in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if loader := cfg.get(field):
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('pin_memory', torch.cuda.is_available())
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)


def check_data_roots(cfg: Config, fields: Sequence[str]) -> None:
    """Check that the folders and annotation files named by the loaders' data sets and their evaluators are there.

    Args:
        cfg: A complete config.
        fields: The loaders that the run reads; those that are missing or ``None`` are passed over, and so are data sets
            without a ``data_root``, with a URL for one, or that download themselves.

    Raises:
        MTKDError: If one is not there: which, and how to name another.
    """
    found = [(key, data) for field in fields for key, data in _data_sets(cfg.get(field), field)]
    scope = cfg.get('default_scope')
    missing = [(key, data) for key, data in found if not Path(data['data_root']).is_dir() and not _comes(data, scope)]
    if missing:
        roots = ', '.join(dict.fromkeys(str(data['data_root']) for _, data in missing))
        options = ' '.join(f'{key}.data_root=PATH' for key, _ in missing)
        raise MTKDError(
            f'data root {roots}: there is no such folder; put the data there, set MTKD_DATA_ROOT to the folder that '
            f"holds mtkd_rl's data sets, or name another with --cfg-options {options}"
        )
    for key, data in found:
        file = Path(data['data_root'], data.get('ann_file') or '')
        if not file.exists() and not _comes(data, scope):
            raise MTKDError(
                f'annotations {file}: there is no such file; put it there, or name another with --cfg-options '
                f'{key}.ann_file=PATH'
            )
    for field in fields:
        evaluator = field.replace('dataloader', 'evaluator')
        for key, metric in _metrics(cfg.get(evaluator), evaluator):
            if not Path(metric['ann_file']).exists() and '://' not in metric['ann_file']:
                raise MTKDError(
                    f'annotations {metric["ann_file"]}: there is no such file; put it there, or name another with '
                    f'--cfg-options {key}.ann_file=PATH'
                )


def hook_entries(cfg: Config) -> list[dict]:
    """The entries of ``MTKDHook`` in a config; found by name, so that a config without one imports nothing of it.

    Raises:
        MTKDError: ``custom_hooks`` is no list.
    """
    entries = cfg.get('custom_hooks') or []
    if not isinstance(entries, list | tuple):
        raise MTKDError(
            'custom_hooks is no list; where a config has no hooks, --cfg-options custom_hooks.0... names nothing'
        )
    names = [entry['type'] if isinstance(entry['type'], str) else entry['type'].__name__ for entry in entries]
    return [entry for entry, name in zip(entries, names) if name.rpartition('.')[2] == 'MTKDHook']


def trusts(cfg: Config) -> bool:
    """Whether an ``MTKDHook`` of the config says ``trust=True``."""
    return any(entry.get('trust', False) for entry in hook_entries(cfg))


def check_parts(cfg: Config) -> None:
    """Check that a config can train, and that what belongs to training, validation and test is there as a whole.

    Args:
        cfg: A complete config.

    Raises:
        MTKDError: If a part is missing: which, and what goes with it.
    """
    stages = {
        'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
        'validate': ('val_dataloader', 'val_cfg', 'val_evaluator'),
        'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
    }
    for stage, parts in stages.items():
        missing = [part for part in parts if cfg.get(part) is None]
        if missing and (stage == 'train' or len(missing) < len(parts)):
            raise MTKDError(
                f'the config has no {" and no ".join(missing)}; to {stage}, it needs {", ".join(parts[:-1])} and '
                f'{parts[-1]}' + ('' if stage == 'train' else ', or none of them')
            )


def _data_sets(node: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Every dict with a data root below a node of a config, wrappers of data sets included, by its dotted key."""
    if isinstance(node, dict):
        if node.get('data_root'):
            yield key, node
        children: Any = node.items()
    else:
        children = enumerate(node) if isinstance(node, (list, tuple)) else ()
    for name, child in children:
        yield from _data_sets(child, f'{key}.{name}')


def _metrics(evaluator: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Every metric of an evaluator that reads annotations of its own, by its dotted key."""
    several = isinstance(evaluator, list | tuple)
    for name, metric in enumerate(evaluator) if several else [(None, evaluator)]:
        if isinstance(metric, dict) and isinstance(metric.get('ann_file'), str):
            yield key if name is None else f'{key}.{name}', metric


def _comes(data: dict, scope: str | None) -> bool:
    """Whether a data set that is not on the disk comes from elsewhere: from a URL, or by downloading itself."""
    if '://' in str(data['data_root']):
        return True
    kind = data.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    parameters = inspect.signature(kind).parameters if callable(kind) else {}
    default = parameters['download'].default if 'download' in parameters else False
    return bool(data.get('download', default))


def claim_work_dir(work_dir: str) -> None:
    """Make the work dir and check, by writing a file, that a run can write there.

    Raises:
        MTKDError: If it cannot be made or written to.
    """
    try:
        Path(work_dir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir) as file:
            file.write(b'0')
    except OSError as error:
        raise MTKDError(
            f'work dir {work_dir}: cannot write there ({error.strerror}); name another with --work-dir'
        ) from error


def local_copy(path: str) -> str:
    """What an http(s) URL names, downloaded, so that it is checked as a file is; anything else as it is."""
    return str(locate(path)) if path.startswith(('http://', 'https://')) else path


def check_checkpoint(path: str, trust: bool = False) -> dict | None:
    """Check that mmengine can load a checkpoint without running code that it holds.

    mmengine falls back to unpickling anything. A file that passes here never takes it there.

    Args:
        path: A file; another scheme, such as ``torchvision://``, is left to mmengine.
        trust: Check only that the file is there.

    Returns:
        What the file holds, on the CPU; ``None`` for another scheme or a trusted file.

    Raises:
        MTKDError: If the file is not there, is damaged, or holds more than tensors and plain containers.
    """
    if '://' in path:
        return None
    if not Path(path).is_file():
        raise MTKDError(f'checkpoint {path}: there is no such file; correct the path')
    return None if trust else read_checkpoint(path, hint='if you trust whoever made the file, pass --trust')


def last_checkpoint(work_dir: Path) -> Path:
    """The checkpoint that a run saved last.

    Raises:
        MTKDError: There is none.
    """
    marker = work_dir / 'last_checkpoint'
    if not marker.is_file():
        raise MTKDError(f'{work_dir}: there is no last_checkpoint; give the work dir of a run that has saved one')
    return work_dir / Path(marker.read_text().strip()).name  # the work dir may have been moved since


def check_fit(model: nn.Module, checkpoint: dict, path: str) -> None:
    """Check that a checkpoint sets every parameter of a model; mmengine only warns, and random weights get evaluated.

    Args:
        model: Gets the checkpoint's weights.
        checkpoint: A state dict, or a dict with one under ``state_dict``.
        path: Where it came from, for the message.

    Raises:
        MTKDError: If parameters are missing (how many and which) or have other shapes.
    """
    model = cast(nn.Module, model.module) if is_model_wrapper(model) else model
    try:
        lacking = set(model.load_state_dict(state_dict_of(checkpoint, path), strict=False).missing_keys)
    except RuntimeError as error:
        _, *shapes = str(error).splitlines()
        told = f'{len(shapes)} shapes differ, the first: {shapes[0].strip()}' if shapes else str(error)
        raise MTKDError(f"checkpoint {path}: does not fit the config's model: {told}") from error
    names = [name for name, _ in model.named_parameters()]
    missing = [name for name in names if name in lacking]
    if missing:
        raise MTKDError(
            f"checkpoint {path}: does not fit the config's model: {len(missing)} of its {len(names)} parameters are "
            f'missing, among them {", ".join(missing[:3])}'
        )


def build_runner(cfg: Config, trust: bool = False) -> Runner:
    """Build the Runner of a config, or the class that its ``runner_type`` names.

    Args:
        cfg: A complete config.
        trust: Let the Runner, and the model while it is built, load files that may run code.

    Raises:
        MTKDError: The model loads a file that is refused, or a type of the config is not registered. Files that the
            Runner loads are read before it does.
    """
    _quiet_imports(cfg.get('default_scope'))
    with nullcontext() if trust else restricted('if you trust whoever made the file, pass --trust'):
        try:
            runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        except KeyError as error:
            reason = str(error.args[0] if error.args else error).split('. ')[0]
            if not reason.endswith('registry'):
                raise
            raise MTKDError(f'the config: {reason}; correct it, or name its module in custom_imports') from error
    check_before_loading(runner, trust)
    return runner


def leave_together() -> None:
    """End several processes in step: one that exits while another still talks to it makes that one abort."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _quiet_imports(scope: str | None) -> None:
    """Import the models of a scope, as the Runner would, without what other packages say in passing."""
    warnings.filterwarnings('ignore', message='pkg_resources is deprecated')
    if scope and find_spec(scope) and find_spec(f'{scope}.models'):
        import_module(f'{scope}.models')
