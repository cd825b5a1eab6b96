# ResNet-18 on ImageNet with Mixup and CutMix: student and teachers see the same mixed pictures.
# Paper: https://arxiv.org/abs/2502.18510; 1710.09412 (Mixup) and 1905.04899 (CutMix)
# Command: python tools/train.py configs/imagenet/mtkd_rl_resnet18_mixup_cutmix_imagenet.py
# Time: not yet run here
# Result: not yet run here
#
# Two iterations on made pictures, to see it run without ImageNet and without a download:
#   python tools/train.py configs/imagenet/mtkd_rl_resnet18_mixup_cutmix_imagenet.py --no-validate --cfg-options \
#       train_cfg.max_epochs=1 train_dataloader.batch_size=4 train_dataloader.num_workers=0 \
#       train_dataloader.dataset._delete_=True train_dataloader.dataset.type=mtkd_rl.MadeClassification \
#       train_dataloader.dataset.n=8 train_dataloader.dataset.size=64 train_dataloader.dataset.num_classes=1000 \
#       custom_hooks.0.teachers.resnet50.weights=None custom_hooks.0.teachers.resnet50.checkpoint=random \
#       custom_hooks.0.teachers.resnet101.weights=None custom_hooks.0.teachers.resnet101.checkpoint=random \
#       custom_hooks.0.teachers.wide_resnet50_2.weights=None custom_hooks.0.teachers.wide_resnet50_2.checkpoint=random \
#       custom_hooks.0.teachers.resnext50_32x4d.weights=None custom_hooks.0.teachers.resnext50_32x4d.checkpoint=random
_base_ = 'mtkd_rl_resnet18_imagenet.py'

model = dict(
    head=dict(loss=dict(use_soft=True)),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.2), dict(type='CutMix', alpha=1.0)]),
)
