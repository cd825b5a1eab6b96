"""What logits, features, embedding and task loss are for a kind of model: one file a task, behind one Protocol."""

from mtkd_rl.tasks.base import Task, find_task
from mtkd_rl.tasks.classification import Classification
from mtkd_rl.tasks.detection import Detection
from mtkd_rl.tasks.fusion import Fusion
from mtkd_rl.tasks.multi_label import MultiLabel
from mtkd_rl.tasks.segmentation import Segmentation

__all__ = ['Classification', 'Detection', 'Fusion', 'MultiLabel', 'Segmentation', 'Task', 'find_task']
