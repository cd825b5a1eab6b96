"""What a source of teachers has to offer."""

from typing import Protocol

from torch import nn

from mtkd_rl.teachers.contract import InputContract


class Source(Protocol):
    """Where a teacher comes from.

    A source of one's own is a class with these members, decorated with ``@TEACHERS.register_module()`` of
    `mtkd_rl.registry`; an entry of the hook's ``teachers`` names it as ``type``, and the other options of the entry are
    its arguments.

    Attributes:
        description: Where the model comes from, in a few words, for the manifest in the student's checkpoints.
        trained: Whether `build` returns trained weights; if not, the teacher's entry must name a checkpoint.
    """

    description: str
    trained: bool

    def build(self) -> nn.Module:
        """Build the model: called once, with the global random states isolated; the pool loads and freezes it."""
        ...

    def contract(self, model: nn.Module) -> InputContract | None:
        """What the model expects of its input; ``None``: exactly what the student is fed."""
        ...
