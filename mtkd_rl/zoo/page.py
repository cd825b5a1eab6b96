"""``model_zoo.md``, from the metafile."""

from collections.abc import Sequence
from pathlib import Path

from mtkd_rl.zoo.index import Entry, entries

HEAD = """# Model zoo

Students small enough to come with the package. Made by `tools/publish_model.py --page` from
[metafile.yml](mtkd_rl/zoo/students/metafile.yml); a test compares the two.

```bash
python -c "import mtkd_rl.zoo as zoo; print(zoo.list())"
python tools/predict.py NAME PICTURE
```

```python
from mtkd_rl import zoo

student = zoo.load('NAME')    # checks the hash; nothing is unpickled
student.model                 # in evaluation mode, as OpenMMLab builds it
```

Figures are of one run each, of the last epoch, on the validation set that the config names.

"""


def page(students: Sequence[Entry] | None = None) -> str:
    """The page, of the package's students when none are given."""
    students = entries() if students is None else students
    tasks = sorted({each.task for each in students})
    return HEAD + '\n'.join(section(task, [each for each in students if each.task == task]) for task in tasks)


def section(task: str, students: Sequence[Entry]) -> str:
    """The students of one task."""
    lines = [
        f'## {task.capitalize()}\n',
        '| name | reached | parameters | taught by | trained on | licence of the data | config | sha256 |',
        '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ]
    for each in students:
        reached = ', '.join(f'{metric} {value:g}' for metric, value in each.metrics.items())
        teachers = ', '.join(each.metadata['Teachers']) or 'nobody'
        cells = (
            f'[{each.name}](mtkd_rl/zoo/students/{each.file})',
            reached,
            f'{each.metadata["Parameters"]:,}',
            teachers,
            str(each.metadata['Training Data']),
            str(each.metadata['Licence of the Data']),
            f'[{Path(each.config).name}]({each.config})',
            f'`{each.sha256[:16]}`',
        )
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'
