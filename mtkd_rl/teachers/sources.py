"""Where teachers come from besides OpenMMLab: torchvision, timm, and any callable."""

import importlib
import inspect
from collections.abc import Callable as CallableType
from collections.abc import Mapping
from typing import Any

from torch import nn

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.registry import TEACHERS
from mtkd_rl.teachers.contract import InputContract, pair_of
from mtkd_rl.teachers.restricted import NAME_IT, restricted

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@TEACHERS.register_module()
class Torchvision:
    """A classifier of torchvision.

    Args:
        model: Name, as ``torchvision.models.list_models(module=torchvision.models)`` lists it.
        weights: Name of published weights such as 'IMAGENET1K_V2' or 'DEFAULT', downloaded into torch.hub's cache;
            ``None``: the teacher's entry names a checkpoint.
        kwargs: What the model's builder takes, such as ``num_classes``.

    Raises:
        MTKDError: torchvision is not installed, or has no such model or weights.
    """

    def __init__(self, model: str, weights: str | None = None, **kwargs: Any) -> None:
        zoo = _import('torchvision.models', 'openmmlab')
        known = zoo.list_models(module=zoo)  # classifiers alone
        if model not in known:
            raise MTKDError(f"torchvision has no classifier '{model}'; did you mean: {candidates(model, known)}")
        published = {entry.name: entry for entry in zoo.get_model_weights(model)}
        published['DEFAULT'] = zoo.get_model_weights(model).DEFAULT
        name = weights and weights.rsplit('.', 1)[-1]
        if name and name not in published:
            raise MTKDError(f"torchvision has no weights '{weights}' of {model}; it has: {', '.join(published)}")
        self.description = f'Torchvision {model} {name}' if name else f'Torchvision {model}'
        self.trained = bool(name)
        self._zoo, self._model, self._kwargs = zoo, model, kwargs
        self._weights = published[name] if name else None

    def build(self) -> nn.Module:
        """Build the model, downloading its weights if need be.

        Returns:
            The model.

        Raises:
            MTKDError: The weights cannot be downloaded, or an option does not fit the model.
        """
        return _built(self.description, lambda: self._zoo.get_model(self._model, weights=self._weights, **self._kwargs))

    def contract(self, model: nn.Module) -> InputContract:
        """Normalisation of the weights' own transforms, ImageNet's without weights; RGB.

        Args:
            model: As `build` returns it.

        Returns:
            The contract; with a size where the model has an ``image_size`` and takes no other.
        """
        transforms = self._weights.transforms() if self._weights else None
        size = getattr(model, 'image_size', None)
        return InputContract(
            mean=_pixels(transforms.mean if transforms else IMAGENET_MEAN),
            std=_pixels(transforms.std if transforms else IMAGENET_STD),
            channel_order='rgb',
            size=None if size is None else pair_of(size),
        )


@TEACHERS.register_module()
class Timm:
    """A model of timm (pytorch-image-models).

    Args:
        model: Name, as ``timm.list_models()`` lists it, or one that timm resolves, such as ``hf-hub:owner/name``.
        pretrained: Download the published weights; otherwise the teacher's entry names a checkpoint.
        kwargs: What ``timm.create_model`` takes, such as ``num_classes``.

    Raises:
        MTKDError: timm is not installed, or has no such model.
    """

    def __init__(self, model: str, pretrained: bool = False, **kwargs: Any) -> None:
        self._timm = _import('timm', 'timm')
        if ':' not in model and not self._timm.is_model(model):
            raise MTKDError(f"timm has no model '{model}'; did you mean: {candidates(model, self._timm.list_models())}")
        self.description = f'Timm {model} pretrained' if pretrained else f'Timm {model}'
        self.trained = pretrained
        self._model, self._kwargs = model, kwargs

    def build(self) -> nn.Module:
        """Build the model, downloading its weights if need be.

        Returns:
            The model.

        Raises:
            MTKDError: The weights cannot be downloaded, or an option does not fit the model.
        """
        return _built(
            self.description,
            lambda: self._timm.create_model(self._model, pretrained=self.trained, **self._kwargs),
        )

    def contract(self, model: Any) -> InputContract:
        """The model's own data config; RGB.

        Args:
            model: As `build` returns it.

        Returns:
            The contract; with a size where timm says that the model takes no other.
        """
        data = self._timm.data.resolve_model_data_config(model)
        patches: Any = getattr(model, 'patch_embed', None)
        strict = getattr(patches, 'strict_img_size', None)
        if strict is None:
            size = data['input_size'][-2:] if model.pretrained_cfg.get('fixed_input_size') else None
        else:  # timm's own patch embedding knows better, as options of the model may have changed it
            size = patches.img_size if strict else None
        return InputContract(
            mean=_pixels(data['mean']),
            std=_pixels(data['std']),
            channel_order='rgb',
            size=None if size is None else pair_of(size),
            channels=data['input_size'][0],
        )


@TEACHERS.register_module()
class Callable:
    """Any model that a callable returns, with whatever weights it returns it.

    It is fed what the student is fed, unless its entry gives mean, std, channel_order or input_size.

    Args:
        build: A callable, or its name 'package.module.function'.
        args: Its keyword arguments.

    Raises:
        MTKDError: There is no such callable, or it does not take these arguments.
    """

    trained = True

    def __init__(self, build: str | CallableType[..., nn.Module], args: Mapping[str, Any] | None = None) -> None:
        self._build = _imported(build) if isinstance(build, str) else build
        self._args = dict(args or {})
        name = build if isinstance(build, str) else getattr(build, '__qualname__', type(build).__name__)
        self.description = f'Callable {name}'
        try:
            inspect.signature(self._build).bind(**self._args)
        except TypeError as error:
            raise MTKDError(f'{self.description}: {error}; correct `args` in its entry') from error

    def build(self) -> nn.Module:
        """Call the callable; what it raises is passed on, for it is the user's own code.

        Returns:
            The model.
        """
        return self._build(**self._args)

    def contract(self, model: nn.Module) -> None:
        """Nothing is known: the teacher is fed what the student is fed."""


def _built(description: str, build: CallableType[[], nn.Module]) -> nn.Module:
    try:
        with restricted(NAME_IT):
            return build()
    except MTKDError:
        raise
    except OSError as error:
        reason = str(error).split('\n')[0][:160]
        raise MTKDError(
            f'the weights of {description} cannot be downloaded ({reason}); connect, or name a file '
            "as `checkpoint` in the teacher's entry"
        ) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise MTKDError(f'{description} cannot be built ({error}); correct the options of its entry') from error


def _import(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split('.')[0]
        raise MTKDError(
            f'a teacher comes from {name}, which cannot be imported; pip install mtkd_rl[{extra}]'
        ) from error


def _imported(name: str) -> CallableType[..., nn.Module]:
    module, _, attribute = name.rpartition('.')
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MTKDError(f"`build='{name}'` cannot be imported ({error}); give 'package.module.function'") from error
    if not callable(found):
        raise MTKDError(f"`build='{name}'` is no callable; give a function or class that returns the model")
    return found


def _pixels(values: Any) -> tuple[float, ...]:
    return tuple(255.0 * value for value in values)
