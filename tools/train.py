"""Train the model of an OpenMMLab config: ``python tools/train.py CONFIG``."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.resume import latest_whole


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Train the model of an OpenMMLab config.')
    parser.add_argument('config', metavar='CONFIG', help='a path, or package::path such as mmpretrain::resnet/NAME.py')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without one, from the latest of the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate while training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size in use over the planned one',
    )
    return tooling.parse_arguments(parser, argv)


def configure(args: Namespace) -> Config:
    """The config with the command line merged in.

    Raises:
        MTKDError: If the config or a flag cannot be used here.
    """
    cfg = tooling.load_config(args.config)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        if get_device() == 'cpu':
            raise MTKDError('--amp: mixed precision needs a GPU, and none was found; leave the flag out')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise MTKDError(
                f'--auto-scale-lr: config {args.config} has no auto_scale_lr=dict(base_batch_size=...); add it, or '
                'leave the flag out'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    tooling.prepare(cfg, args)
    return cfg


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    cfg = configure(args)
    tooling.check_parts(cfg)
    trust = args.trust or tooling.trusts(cfg)
    tooling.check_data_roots(cfg, ['train_dataloader', 'val_dataloader'])
    tooling.claim_work_dir(cfg.work_dir)
    if cfg.get('load_from'):
        cfg.load_from = tooling.local_copy(cfg.load_from)
    elif cfg.get('resume') and (latest := latest_whole(Path(cfg.work_dir))):
        cfg.load_from = str(latest)
    if cfg.get('load_from'):
        tooling.check_checkpoint(cfg.load_from, trust)
    tooling.build_runner(cfg, trust).train()
    tooling.leave_together()


if __name__ == '__main__':
    sys.exit(main())
