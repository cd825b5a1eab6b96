"""Evaluate a checkpoint with an OpenMMLab config: ``python tools/test.py CONFIG CHECKPOINT``. No teacher is loaded."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import mmengine
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults

from mtkd_rl import tooling


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Evaluate a checkpoint with an OpenMMLab config. No teacher is loaded.')
    parser.add_argument('config', metavar='CONFIG', help='a path, or package::path such as mmpretrain::resnet/NAME.py')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='a file that training saved')
    parser.add_argument('--out', metavar='FILE', help='save the metrics to a .json or the predictions to a .pkl file')
    args = tooling.parse_arguments(parser, argv)
    if args.out and Path(args.out).suffix not in ('.json', '.pkl'):
        parser.error('argument --out: expected a file that ends in .json (metrics) or .pkl (predictions)')
    return args


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    cfg = tooling.load_config(args.config)
    tooling.prepare(cfg, args)
    cfg.load_from, cfg.resume = tooling.local_copy(args.checkpoint), False
    checkpoint = tooling.check_checkpoint(cfg.load_from, args.trust)
    tooling.check_data_roots(cfg, ['test_dataloader'])
    tooling.claim_work_dir(cfg.work_dir)
    runner = tooling.build_runner(cfg, args.trust)
    if checkpoint is not None:
        tooling.check_fit(runner.model, checkpoint, args.checkpoint)
    if args.out and args.out.endswith('.pkl'):
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    metrics = runner.test()
    if is_main_process():
        for name, value in metrics.items():
            print(f'{name}: {value}')
        if args.out and args.out.endswith('.json'):
            mmengine.dump(metrics, args.out)
    tooling.leave_together()


if __name__ == '__main__':
    sys.exit(main())
