"""Files that mmengine would unpickle on our behalf, with whatever code they hold: read safely first.

mmengine reads a checkpoint without restriction when its restricted reader refuses it, and one from a URL always. So
every file that a Runner is going to load is read here before, by a stricter reader, and what is not local is then
loaded from its local copy. docs/security.md says what this covers.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint
from mmengine.runner.checkpoint import get_deprecated_model_names, get_external_models, get_torchvision_models

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.teachers.checkpoint import locate, read_checkpoint

HINT = 'if you trust whoever made the file, set trust=True in MTKDHook or pass --trust'

ZOOS: dict[str, Callable[[], dict[str, str]]] = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
}
"""mmengine's tables of names and addresses, by what stands before ``://``."""


class SafeFiles(Hook):
    """Reads what the Runner is about to load, when all other hooks had their say on it in ``before_run``.

    Args:
        trust: Leave all to mmengine. A file can then run any code.
    """

    priority = 'LOWEST'

    def __init__(self, trust: bool = False) -> None:
        self.trust = trust

    def before_run(self, runner: Runner) -> None:
        """See `check_files`."""
        if not self.trust:
            check_files(runner)


def check_before_loading(runner: Runner, trust: bool = False) -> None:
    """Has a Runner's files read safely before it loads them. Whoever calls first decides: a tool, then the hook.

    Args:
        runner: Has not loaded anything yet; may be in the midst of ``before_run``.
        trust: Leave all to mmengine.
    """
    if not any(isinstance(hook, SafeFiles) for hook in runner.hooks):
        runner.register_hook(SafeFiles(trust))


def check_files(runner: Runner) -> None:
    """Reads the checkpoints that a Runner is about to load, without running what they may hold.

    These are what it resumes or loads from and, before training, what any ``init_cfg`` of the model names. A name of
    what is not a local file is replaced by that of its local copy.

    Args:
        runner: Stands before ``load_or_resume``.

    Raises:
        MTKDError: A file is not there, is damaged, holds more than tensors and plain containers, or comes by a way that
            cannot be checked.
    """
    if not runner._has_loaded:
        if runner._load_from is not None:
            runner._load_from = _checked(runner._load_from, 'resume' if runner._resume else 'load_from')
        elif runner._resume and (latest := find_latest_checkpoint(runner.work_dir)):
            runner._load_from = _checked(latest, 'resume')
    if isinstance(runner._train_loop, BaseLoop):  # it is built, so initial weights will be loaded
        for name, module in runner.model.named_modules():
            if not getattr(module, 'is_init', False):
                for node in _with_checkpoint(getattr(module, 'init_cfg', None)):
                    node['checkpoint'] = _checked(node['checkpoint'], f'init_cfg of {name or "the model"}')


def check_file(name: str) -> Path:
    """Reads a checkpoint without running what it may hold.

    Args:
        name: A path, an http(s) URL, or a name of mmengine's tables such as ``torchvision://resnet50``.

    Returns:
        The local file.

    Raises:
        MTKDError: As for `check_files`.
    """
    path = locate(_address(name))
    read_checkpoint(path, hint=HINT)
    return path


def _checked(name: str, where: str) -> str:
    try:
        path = check_file(name)
    except MTKDError as error:
        raise MTKDError(f'{where}: {error}') from error
    return str(path) if '://' in name else name


def _address(name: str) -> str:
    """What to ask `locate` for."""
    scheme, _, model = name.partition('://')
    if scheme not in ZOOS:
        return name
    zoo = ZOOS[scheme]()
    model = get_deprecated_model_names().get(model, model)
    if model not in zoo:
        raise MTKDError(f'{name}: there is no such model; did you mean: {candidates(model, zoo)}')
    return zoo[model]


def _with_checkpoint(node: Any) -> Iterator[Any]:
    """Every dict of an ``init_cfg`` that names a checkpoint."""
    if isinstance(node, Mapping):
        if node.get('checkpoint'):
            yield node
        node = list(node.values())
    for child in node if isinstance(node, list | tuple) else ():
        yield from _with_checkpoint(child)
