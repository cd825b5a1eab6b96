"""Holding libraries that load files by themselves to what `read_checkpoint` allows."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.checkpoint import refused_call
from mtkd_rl.teachers.safe import safely

RESTRICTING = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
LOOSENING = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
NAME_IT = "name the file as `checkpoint` in the teacher's entry, with trust=True if you trust whoever made it"


@contextmanager
def restricted(remedy: str) -> Iterator[None]:
    """Holds every ``torch.load`` within to what `read_checkpoint` allows, whatever it is called with.

    An environment variable of PyTorch is set meanwhile, so this goes around what builds a model, not around a training
    with a user's own code in it.

    Args:
        remedy: What the message says to do about a file that is refused.

    Raises:
        MTKDError: A file is refused. Other errors pass.
    """
    before = {name: os.environ.pop(name, None) for name in (RESTRICTING, LOOSENING)}
    os.environ[RESTRICTING] = '1'
    try:
        with safely():
            yield
    except Exception as error:
        called = _refused(error)
        if called is None:
            raise
        raise MTKDError(
            f'a file that it loads is refused: it calls {called} when loaded, which may run any code; {remedy}'
        ) from error
    finally:
        del os.environ[RESTRICTING]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _refused(error: BaseException | None) -> str | None:
    """What the file called that an error is about: timm and mmengine's registries raise it anew as another one."""
    while error is not None and not isinstance(error, pickle.UnpicklingError):
        error = error.__cause__ or error.__context__
    return None if error is None else refused_call(error)
