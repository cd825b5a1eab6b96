"""Teachers of OpenMMLab: any model that a config describes."""

import importlib.util
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import nn

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.registry import TEACHERS
from mtkd_rl.teachers.contract import InputContract, contract_of, data_sets, loaded_order, pair_of
from mtkd_rl.teachers.restricted import NAME_IT, restricted


@TEACHERS.register_module()
class OpenMMLab:
    """A model of an OpenMMLab config, with random weights: the teacher's entry names the checkpoint.

    The model is built in the config's own default scope (the running one where the config has none). Nothing that the
    config says about initial weights is followed or downloaded, and synchronised BatchNorm becomes plain BatchNorm,
    which has the same keys and gives the same outputs in evaluation.

    Args:
        config: Path, ``lib::path`` of a config that travels in an installed package (``mmpretrain::resnet/...``), a
            dict of a whole config (with ``model``), or a dict of a model (with ``type``).
        cfg_options: Changes to the config, ``{'model.head.num_classes': 10}``.

    Raises:
        MTKDError: There is no such config, or it has no model.
    """

    trained = False

    def __init__(self, config: str | Path | Mapping[str, Any], cfg_options: Mapping[str, Any] | None = None) -> None:
        self._cfg = _whole_config(config)
        self._cfg.merge_from_dict(dict(cfg_options or {}))
        kind = self._cfg.model.type
        self.description = f'OpenMMLab {getattr(kind, "__name__", kind) if isinstance(config, Mapping) else config}'

    @property
    def recipe(self) -> str:
        """The model and its preprocessor as the config has them, wherever that lies."""
        return f'{self._cfg.get("default_scope")} {self._cfg.model} {self._cfg.get("data_preprocessor")}'

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes of the data that the config trains on; ``None`` where it does not say."""
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            for dataset in data_sets((self._cfg.get(loader) or {}).get('dataset')):
                named = (dataset.get('metainfo') or {}).get('classes')
                if named is None and 'type' in dataset:
                    with DATASETS.switch_scope_and_registry(self._cfg.get('default_scope')) as registry:
                        kind = registry.get(dataset['type']) if isinstance(dataset['type'], str) else dataset['type']
                    named = getattr(kind, 'METAINFO', {}).get('classes')
                if named is not None:
                    return (named,) if isinstance(named, str) else tuple(named)
        return None

    def build(self) -> nn.Module:
        """Build the model.

        Returns:
            The model with random weights.

        Raises:
            MTKDError: A type of the config is not registered, or an option does not fit.
        """
        model_cfg = _without_initial_weights(self._cfg.model)
        if self._cfg.get('data_preprocessor') is not None:
            model_cfg.setdefault('data_preprocessor', deepcopy(self._cfg.data_preprocessor))
        running = DefaultScope.get_current_instance()
        scope = self._cfg.get('default_scope') or (running.scope_name if running else 'mmpretrain')
        with DefaultScope.overwrite_default_scope(scope), restricted(NAME_IT):
            try:
                model = MODELS.build(model_cfg)
            except (KeyError, TypeError, ValueError, AssertionError, ImportError) as error:
                reason = str(error.args[0] if error.args else error).split('. ')[0].split('\n')[0]
                raise MTKDError(
                    f'{self.description} cannot be built in scope {scope} ({type(error).__name__}: {reason}); '
                    'correct the config, or name what registers its types in its custom_imports'
                ) from error
        return revert_sync_batchnorm(model)

    def contract(self, model: nn.Module) -> InputContract | None:
        """What the model's data preprocessor makes of pictures loaded as the config's pipeline loads them.

        Args:
            model: As `build` returns it.

        Returns:
            The contract; its size is a classifier's ``backbone.img_size``. ``None`` where there is no preprocessor.
        """
        preprocessor = getattr(model, 'data_preprocessor', None)
        if preprocessor is None:
            return None
        contract = contract_of(preprocessor, loaded_order(self._cfg))
        # Detectors and segmenters keep the picture's own grid, whatever size their backbone began with.
        size = getattr(model.backbone, 'img_size', None) if hasattr(model, 'head') else None
        return contract if size is None else contract._replace(size=pair_of(size))


def _whole_config(config: str | Path | Mapping[str, Any]) -> Config:
    """A config with a ``model``, from whatever form it was given in."""
    if isinstance(config, Mapping):
        content = deepcopy(dict(config))
        cfg = Config({'model': content} if 'type' in content else content)
    else:
        path = packaged(str(config)) if '::' in str(config) else Path(config).expanduser()
        if not path.is_file():
            raise MTKDError(f"the config '{path}' is not there; correct `config`")
        cfg = Config.fromfile(path)
    model = cfg.get('model')
    if not isinstance(model, Mapping) or 'type' not in model:
        raise MTKDError('the config has no `model` with a `type`; give the config that the teacher was trained with')
    return cfg


def packaged(name: str) -> Path:
    """Path of 'lib::path', which mmengine would resolve too, but installing what is not installed."""
    package, relative = name.split('::', 1)
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MTKDError(
            f"the package '{package}' of the config '{name}' is not installed; install it or correct `config`"
        )
    root = Path(spec.origin).parent / '.mim' / 'configs'
    path = root / f'{relative.removesuffix(".py")}.py'
    if not path.is_file():
        known = [found.relative_to(root).as_posix() for found in sorted(root.rglob('*.py'))]
        raise MTKDError(f"{package} has no config '{relative}'; did you mean: {candidates(relative, known)}")
    return path


def _without_initial_weights(node: Any) -> Any:
    """A copy of a model's config without any ``init_cfg`` and ``pretrained``, dicts as ConfigDict."""
    if isinstance(node, Mapping):
        kept = {key: value for key, value in node.items() if key not in ('init_cfg', 'pretrained')}
        return ConfigDict({key: _without_initial_weights(value) for key, value in kept.items()})
    if isinstance(node, list | tuple):
        return type(node)(_without_initial_weights(value) for value in node)
    return node
