"""The page of the documentation that tells what was run, with what, and what came of it."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from mtkd_rl.compatibility.check import Verdict
from mtkd_rl.compatibility.prepare import REGIONS
from mtkd_rl.compatibility.toolboxes import TOOLBOXES, TRIED, families

HEAD = f"""# What was tried

"Any model" is a table that was run. `tools/check_compat.py` takes a config of every family that ships with mmpretrain,
mmdet and mmseg, and asks of it:

- **plain**: does it train a step here as it is, without mtkd_rl?
- **hooked**: does it train two iterations by mmengine's Runner with `MTKDHook`, two teachers and the PPO agent, with
  finite losses from which the student gets a gradient?
- **checkpoint**: does what that run saved load with `strict=True` into the model that the toolbox builds, in a process
  that imported nothing of mtkd_rl but `mtkd_rl.compat`, and does that model say the same of a picture?

A family is a folder of configs. Of those whose model is of the toolbox's task, the smallest stands for it, as far as
names tell (`size_by_name` in [toolboxes.py](../mtkd_rl/compatibility/toolboxes.py)); where that does not train plainly,
the next, up to {TRIED}. `--config` asks about any other.

Data are made: two pictures with labels, boxes, masks and maps of classes, 96 or 128 pixels wide, or what the model
wants where that is too small (a backbone's `img_size` above 384 is made small itself); at most {REGIONS} regions a
picture are proposed and sampled. Initial weights are random, nothing is downloaded, synchronised BatchNorm is replaced
by BatchNorm, the optimizer is SGD with clipped gradients, and the config's own hooks are left out. Both teachers have
the student's architecture and random weights. Some models cannot load even their own state dict with `strict=True`, or
get keys in training; such a one has to load what it does by itself. So this shows that the parts fit, not what a
student learns.

```bash
python tools/check_compat.py mmdet --jobs 2                # what passed is not run again, unless with --again
python tools/check_compat.py mmdet --family retinanet
python tools/check_compat.py mmdet --config retinanet/retinanet_pvt-s_fpn_1x_coco.py
python tools/check_compat.py mmdet --write-docs            # this page, from what was run
```
"""

MARKS = {True: 'yes', False: '**no**', None: ''}


def versions_of(toolbox: str) -> dict[str, str]:
    """What a check of a toolbox is run on.

    Returns:
        Name to version; of mmcv also whether its own compiled operators are there.
    """
    import mtkd_rl.compat  # noqa: F401  # so that the search below finds a compiled extension or our stand-in

    spec = find_spec('mmcv._ext')
    compiled = spec is not None and spec.origin is not None and not spec.origin.endswith('.py')
    return {
        'Python': platform.python_version(),
        'torch': version('torch'),
        'torchvision': _version('torchvision'),
        'mmengine': _version('onedl-mmengine', 'mmengine'),
        'mmcv': f'{_version("onedl-mmcv", "mmcv")}, {"its compiled" if compiled else "stand-ins for"} operators',
        toolbox: _version(*TOOLBOXES[toolbox].distribution),
    }


def page(verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """The page.

    Args:
        verdicts: Toolbox to what was found.

    Returns:
        Markdown.
    """
    return '\n'.join([HEAD, *(_section(toolbox, found) for toolbox, found in verdicts.items() if found)])


def _section(toolbox: str, verdicts: Sequence[Verdict]) -> str:
    chosen = sorted((verdict for verdict in verdicts if verdict.chosen), key=lambda verdict: verdict.family)
    named = sorted((verdict for verdict in verdicts if not verdict.chosen), key=lambda verdict: verdict.config)
    trained = [verdict for verdict in chosen if verdict.plain]
    passed = sum(verdict.passed for verdict in trained)
    on = '; '.join(f'{name} {said}' for name, said in verdicts[-1].versions.items())
    lines = [
        f'## {toolbox}',
        '',
        f'{len(families(toolbox))} families ship, and {len(chosen)} were tried. {len(trained)} of them train plainly; '
        f'{passed} of these {len(trained)} train with the hook and load plainly. Run on {on}.',
        '',
        *_table(trained),
    ]
    if len(trained) < len(chosen):
        lines += ['', f'What cannot train plainly here ({len(chosen) - len(trained)}):', '']
        lines += ['| family | config | why |', '| --- | --- | --- |']
        failed = [verdict for verdict in chosen if not verdict.plain]
        lines += [f'| {verdict.family} | {_file(verdict)} | {_cell(verdict.reason)} |' for verdict in failed]
    if named:
        lines += ['', 'Other configs:', '', *_table(named)]
    return '\n'.join([*lines, ''])


def _table(verdicts: Sequence[Verdict]) -> list[str]:
    rows = []
    for verdict in verdicts:
        marks = ' | '.join(MARKS[said] for said in (verdict.plain, verdict.hooked, verdict.checkpoint))
        compared = ', '.join(verdict.knowledge) if verdict.passed else _cell(verdict.reason)
        rows.append(f'| {verdict.family} | {_file(verdict)} | {marks} | {compared} | {verdict.side or ""} |')
    return [
        '| family | config | plain | hooked | checkpoint | compared | pixels |',
        '| --- | --- | --- | --- | --- | --- | ---: |',
        *rows,
    ]


def _file(verdict: Verdict) -> str:
    return verdict.config.removeprefix(f'{verdict.family}/').removesuffix('.py')


def _cell(text: str) -> str:
    return text.replace('|', '\\|')


def _version(*distributions: str) -> str:
    for name in distributions:
        try:
            return f'{version(name)} ({name})' if name != distributions[-1] else version(name)
        except PackageNotFoundError:
            pass
    return 'not installed'
