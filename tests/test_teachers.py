import copy
import sys
import urllib.request

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import TEACHERS
from mtkd_rl.rng import random_state
from mtkd_rl.teachers import (
    InputContract,
    Teacher,
    Torchvision,
    build_pool,
    compare_manifests,
    convert,
    manifest,
    sha256_of,
)
from mtkd_rl.teachers.openmmlab import packaged

torch.set_num_threads(1)

STUDENT = InputContract(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), channel_order='rgb')
IMAGENET = {'mean': (123.675, 116.28, 103.53), 'std': (58.395, 57.12, 57.375)}


def classifier(classes: int = 10, **backbone) -> dict:
    """A small mmpretrain classifier."""
    backbone = {'type': 'ResNet_CIFAR', 'depth': 18, 'stem_channels': 4, 'base_channels': 4} | backbone
    return {
        'type': 'ImageClassifier',
        'backbone': backbone,
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': classes, 'in_channels': 32},
        'data_preprocessor': {**IMAGENET, 'to_rgb': True},
    }


def mine(classes: int = 3, channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def pool_of(loaded=None, **entries) -> tuple[Teacher, ...]:
    return build_pool(entries, temperature=4.0, source=STUDENT, loaded=loaded)


def only(loaded=None, **entry) -> Teacher:
    (teacher,) = pool_of(loaded, t=entry)
    return teacher


# OpenMMLab --------------------------------------------------------------------------------------------------------


def test_a_config_of_mmpretrain_predicts_as_mmpretrain_does(tmp_path):
    from mmpretrain import get_model

    name = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'
    trained = get_model(Config.fromfile(packaged(name)), device='cpu')
    for parameter in trained.parameters():
        nn.init.normal_(parameter, std=0.05)
    torch.save({'state_dict': trained.state_dict(), 'meta': {'epoch': np.int64(3)}}, tmp_path / 'r18.pth')

    teacher = only(config=name, checkpoint=str(tmp_path / 'r18.pth'))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(teacher.model(x), trained.eval()(x))
    assert teacher.contract == InputContract(
        mean=(125.307, 122.961, 113.8575), std=(51.5865, 50.847, 51.255), channel_order='rgb', channels=3
    )
    assert teacher.description == f'OpenMMLab {name}'
    assert teacher.sha256 == sha256_of(tmp_path / 'r18.pth')


@pytest.mark.parametrize('form', ['path', 'whole', 'config dict', 'model'])
def test_a_config_in_every_form(tmp_path, form):
    whole = {'default_scope': 'mmpretrain', 'model': classifier()}
    (tmp_path / 'c.py').write_text(Config(whole).pretty_text)
    configs = {
        'path': str(tmp_path / 'c.py'),
        'whole': whole,
        'config dict': ConfigDict(whole),
        'model': classifier(),
    }
    before = copy.deepcopy(configs[form])
    teacher = only(config=configs[form], checkpoint='random', cfg_options={'model.head.num_classes': 7})
    assert teacher.model(torch.rand(1, 3, 32, 32)).shape == (1, 7)
    assert configs[form] == before


def test_the_teachers_scope_is_its_own_and_the_running_one_returns():
    with DefaultScope.overwrite_default_scope('mmdet'):
        teacher = only(config={'default_scope': 'mmpretrain', 'model': classifier()}, checkpoint='random')
        assert type(teacher.model).__module__.startswith('mmpretrain')
        assert DefaultScope.get_current_instance().scope_name == 'mmdet'


def test_nothing_is_downloaded_and_synchronised_batchnorm_runs_on_the_cpu():
    config = classifier(
        norm_cfg={'type': 'SyncBN'},
        init_cfg={'type': 'Pretrained', 'checkpoint': 'http://127.0.0.1:9/nothing.pth'},
    )
    config['pretrained'] = 'http://127.0.0.1:9/nothing.pth'
    teacher = only(config=config, checkpoint='random')
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in teacher.model.modules())
    assert teacher.model.init_cfg is None
    assert teacher.model.backbone.init_cfg is None or 'Pretrained' not in str(teacher.model.backbone.init_cfg)
    assert torch.isfinite(teacher.model(torch.rand(1, 3, 32, 32))[0]).all()


def test_the_data_preprocessor_of_the_whole_config_is_used():
    model = classifier()
    preprocessor = model.pop('data_preprocessor')
    config = {'model': model, 'data_preprocessor': preprocessor, 'default_scope': 'mmpretrain'}
    assert only(config=config, checkpoint='random').contract.mean == IMAGENET['mean']


@pytest.mark.parametrize(
    ('to_rgb', 'pipeline', 'loaded', 'order'),
    [
        (True, [{'type': 'LoadImageFromFile'}], None, 'rgb'),
        (False, [{'type': 'LoadImageFromFile'}], 'rgb', 'bgr'),
        (False, [{'type': 'PackInputs'}], 'bgr', 'rgb'),
        (True, None, 'bgr', 'rgb'),
        (False, None, 'bgr', 'bgr'),
        (False, None, None, None),
    ],
)
def test_the_channel_order_of_a_teacher(to_rgb, pipeline, loaded, order):
    config = {'model': classifier(), 'default_scope': 'mmpretrain'}
    config['model']['data_preprocessor']['to_rgb'] = to_rgb
    if pipeline:
        config['train_dataloader'] = {'dataset': {'pipeline': pipeline}}
    assert only(loaded, config=config, checkpoint='random').contract.channel_order == order


def test_a_vision_transformer_takes_its_own_size():
    vit = {
        'type': 'VisionTransformer',
        'arch': {'embed_dims': 8, 'num_layers': 1, 'num_heads': 1, 'feedforward_channels': 8},
        'img_size': 48,
    }
    head = {'type': 'VisionTransformerClsHead', 'num_classes': 5, 'in_channels': 8}
    teacher = only(config={'type': 'ImageClassifier', 'backbone': vit, 'head': head}, checkpoint='random')
    assert teacher.contract.size == (48, 48)
    x = convert(torch.rand(2, 3, 32, 32), STUDENT, teacher.contract)
    assert x.shape == (2, 3, 48, 48)


# torchvision ------------------------------------------------------------------------------------------------------


def test_published_weights_of_torchvision_come_from_the_cache(tmp_path, monkeypatch):
    import torchvision

    weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
    trained = torchvision.models.shufflenet_v2_x0_5()
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    torch.save(trained.state_dict(), tmp_path / 'checkpoints' / weights.url.rsplit('/', 1)[-1])

    teacher = only(type='Torchvision', model='shufflenet_v2_x0_5', weights='IMAGENET1K_V1')
    assert teacher.sha256 == sha256_of(trained)
    torch.testing.assert_close(teacher.contract.mean, IMAGENET['mean'])
    torch.testing.assert_close(teacher.contract.std, IMAGENET['std'])
    assert teacher.contract.channel_order == 'rgb'
    assert teacher.contract.size is None


def test_weights_that_cannot_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    # an opener of an earlier test would keep the proxies of its time
    monkeypatch.setattr(urllib.request, '_opener', None)
    for variable in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.setenv(variable, 'http://127.0.0.1:9')
    for variable in ('no_proxy', 'NO_PROXY'):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(MTKDError, match=r"teacher 't': the weights of Torchvision .* cannot be downloaded .*refused"):
        only(type='Torchvision', model='shufflenet_v2_x0_5', weights='DEFAULT')


def test_only_models_of_one_size_have_a_size():
    from torchvision.models import VisionTransformer, resnet18

    vit = VisionTransformer(image_size=64, patch_size=32, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    assert Torchvision('vit_b_32').contract(vit).size == (64, 64)
    assert Torchvision('resnet18').contract(resnet18()).size is None


def test_a_checkpoint_for_a_torchvision_model(tmp_path):
    from torchvision.models import shufflenet_v2_x0_5

    trained = nn.DataParallel(shufflenet_v2_x0_5(num_classes=7))
    torch.save({'model': trained.state_dict()}, tmp_path / 'a.pth')
    entry = {'type': 'Torchvision', 'model': 'shufflenet_v2_x0_5', 'checkpoint': tmp_path / 'a.pth'}
    teacher = only(**entry, num_classes=7)
    assert sha256_of(teacher.model) == sha256_of(trained.module)
    with pytest.raises(MTKDError, match=r"teacher 't': .*a\.pth' has 7 classes in the file, 10 in the model"):
        only(**entry, num_classes=10)


# timm -------------------------------------------------------------------------------------------------------------


def test_models_of_timm():
    pytest.importorskip('timm')
    teacher = only(type='Timm', model='test_resnet', num_classes=5, checkpoint='random')
    assert teacher.contract.size is None
    assert teacher.contract.channel_order == 'rgb'
    assert teacher.model(torch.rand(1, 3, 50, 70)).shape == (1, 5)

    vit = only(type='Timm', model='test_vit', img_size=96, dynamic_img_size=False, checkpoint='random')
    assert vit.contract.size == (96, 96)
    torch.testing.assert_close(vit.contract.mean, (127.5, 127.5, 127.5))
    assert vit.model(convert(torch.rand(1, 3, 32, 32), STUDENT, vit.contract)).shape == (1, 1000)

    free = only(type='Timm', model='test_vit', dynamic_img_size=True, checkpoint='random')
    assert free.contract.size is None


def test_timm_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(MTKDError, match=r"teacher 't': .*timm.* pip install mtkd_rl\[timm\]"):
        only(type='Timm', model='resnet18', pretrained=True)


# Callables and sources of one's own -------------------------------------------------------------------------------


@pytest.mark.parametrize('build', [mine, f'{__name__}.mine'])
def test_a_callable_is_fed_what_the_student_is_fed(build):
    teacher = only(type='Callable', build=build, args={'classes': 5})
    x = torch.rand(2, 3, 4, 4)
    assert convert(x, STUDENT, teacher.contract) is x
    assert teacher.model(x).shape == (2, 5)
    assert teacher.description.endswith('mine')


def test_a_grey_teacher_of_a_colour_student():
    teacher = only(type='Callable', build=mine, args={'channels': 1}, mean=[30.0], std=[70.0])
    assert teacher.model(convert(torch.rand(2, 3, 4, 4), STUDENT, teacher.contract)).shape == (2, 3)


def test_a_source_of_ones_own_is_one_decorated_class():
    @TEACHERS.register_module(force=True)
    class Zeros:
        description = 'zeros'
        trained = True

        def __init__(self, outputs: int) -> None:
            self.outputs = outputs

        def build(self) -> nn.Module:
            model = mine(self.outputs)
            nn.init.zeros_(model[-1].weight)
            return model

        def contract(self, model: nn.Module) -> InputContract:
            return InputContract(mean=(0.0,), std=(255.0,))

    try:
        teacher = only('bgr', type='Zeros', outputs=4)
        assert not teacher.model[-1].weight.any()
        assert teacher.contract == InputContract((0.0,), (255.0,), channel_order='bgr', channels=3)
        with pytest.raises(MTKDError, match="unknown option 'outputz' of Zeros; did you mean: outputs"):
            only(type='Zeros', outputz=4)
    finally:
        TEACHERS.module_dict.pop('Zeros')


# The pool ---------------------------------------------------------------------------------------------------------


def test_the_pool_is_sorted_and_each_teacher_keeps_its_own():
    entries = {
        'b': {'type': 'Callable', 'build': mine, 'temperature': 2, 'layer': '0'},
        'a': {'type': 'Callable', 'build': mine, 'input_size': 5, 'channel_order': 'bgr'},
        'c': {'type': 'Callable', 'build': mine, 'input_size': (6, 7), 'mean': [1, 2, 3], 'std': (4,)},
    }
    pool = pool_of(**entries)
    assert [teacher.name for teacher in pool] == ['a', 'b', 'c']
    assert [teacher.temperature for teacher in pool] == [4.0, 2.0, 4.0]
    assert [teacher.layer for teacher in pool] == [None, '0', None]
    assert [teacher.contract.size for teacher in pool] == [(5, 5), None, (6, 7)]
    assert [teacher.contract.channel_order for teacher in pool] == ['bgr', 'rgb', 'rgb']
    assert pool[2].contract[:2] == ((1.0, 2.0, 3.0), (4.0,))

    as_list = [{'name': name, **entry} for name, entry in entries.items()]
    again = build_pool(as_list, temperature=4.0, source=STUDENT)
    assert manifest(again) == manifest(pool)
    assert entries['b'] == {'type': 'Callable', 'build': mine, 'temperature': 2, 'layer': '0'}


def test_teachers_are_frozen_guests():
    def eager() -> nn.Module:
        return mine().train().requires_grad_(True)

    teacher = only(type='Callable', build=eager)
    student = mine()
    student.teacher = teacher
    student.train()
    student.requires_grad_(True)
    teacher.to('cpu')
    assert not any(module.training for module in teacher.model.modules())
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
    assert set(student.state_dict()) == set(mine().state_dict())
    assert len(list(student.modules())) == len(list(mine().modules()))


def test_building_leaves_the_random_states_alone():
    before = random_state()
    pool_of(a={'config': classifier(), 'checkpoint': 'random'}, b={'type': 'Callable', 'build': mine})
    after = random_state()
    assert torch.equal(before['torch'], after['torch'])
    for library in ('python', 'numpy'):
        assert torch.equal(before[library]['words'], after[library]['words'])
    assert before['numpy']['position'] == after['numpy']['position']


def test_random_teachers_are_the_same_in_every_run_and_differ_by_name():
    torch.manual_seed(1)
    first = pool_of(
        a={'config': classifier(), 'checkpoint': 'random'}, b={'config': classifier(), 'checkpoint': 'random'}
    )
    torch.manual_seed(2)
    (again,) = pool_of(a={'config': classifier(), 'checkpoint': 'random'})
    assert again.sha256 == first[0].sha256 != first[1].sha256


def test_not_strict_loads_what_fits(tmp_path):
    torch.save(mine(classes=7).state_dict(), tmp_path / 'a.pth')
    entry = {'type': 'Callable', 'build': mine, 'checkpoint': str(tmp_path / 'a.pth')}
    with pytest.raises(MTKDError, match='7 classes in the file, 3 in the model'):
        only(**entry)
    stem = torch.load(tmp_path / 'a.pth')['0.weight']
    assert torch.equal(only(**entry, strict=False).model[0].weight, stem)


class Marks:
    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


def test_trust_is_said_in_the_entry(tmp_path):
    torch.save({'state_dict': mine().state_dict(), 'x': Marks(tmp_path / 'ran')}, tmp_path / 'a.pth')
    entry = {'type': 'Callable', 'build': mine, 'checkpoint': str(tmp_path / 'a.pth')}
    with pytest.raises(MTKDError, match=r"teacher 't': .*a\.pth' is refused.*trust=True in the teacher's entry"):
        only(**entry)
    assert not (tmp_path / 'ran').exists()
    only(**entry, trust=True)
    assert (tmp_path / 'ran').exists()


def tensor() -> Tensor:
    return torch.ones(1)


MODEL = {'config': classifier(), 'checkpoint': 'random'}
CALLABLE = {'type': 'Callable', 'build': mine}


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ({}, '`teachers` is empty'),
        ([], '`teachers` is empty'),
        ('r50', '`teachers` must be a dict of name=dict(...), it is a str'),
        ([CALLABLE], 'each entry must be a dict with a name'),
        ([{'name': 'a', **CALLABLE}, {'name': 'a', **MODEL}], "has the name 'a' twice"),
        ({'a/b': CALLABLE}, "not 'a/b'"),
        ({'a b': CALLABLE}, "not 'a b'"),
        ({5: CALLABLE}, 'not 5'),
        ({'a': 'r50.pth'}, "teacher 'a' must be a dict(config=..., checkpoint=...), it is a str"),
        ({'a': {'type': 'TorchVision'}}, "teacher 'a': there is no source 'TorchVision'; there are: Torchvision"),
        ({'a': {'type': 'mtkd_rl.Tim'}}, "there is no source 'mtkd_rl.Tim'"),
        ({'a': {**MODEL, 'checkpiont': 'x'}}, "unknown option 'checkpiont' of OpenMMLab; did you mean: checkpoint"),
        ({'a': {'checkpoint': 'x'}}, "OpenMMLab: missing a required argument: 'config'"),
        ({'a': {'config': classifier()}}, "teacher 'a': no checkpoint is given"),
        ({'a': {'type': 'Torchvision', 'model': 'resnet18'}}, "teacher 'a': no checkpoint is given"),
        ({'a': {**MODEL, 'checkpoint': 'no.pth'}}, "teacher 'a': checkpoint 'no.pth' is not there"),
        ({'a': {**MODEL, 'config': 'no.py'}}, "teacher 'a': the config 'no.py' is not there"),
        (
            {'a': {**MODEL, 'config': 'mmpretrain::resnet/resnet50.py'}},
            "has no config 'resnet/resnet50.py'; did you mean: ",
        ),
        ({'a': {**MODEL, 'config': 'nolib::x.py'}}, "the package 'nolib' of the config 'nolib::x.py' is not installed"),
        ({'a': {**MODEL, 'config': {'default_scope': 'mmpretrain'}}}, 'no `model` with a `type`'),
        ({'a': {**MODEL, 'config': classifier(type='ResNot')}}, 'ResNot is not in the mmpretrain::model registry'),
        ({'a': {**MODEL, 'config': classifier(dpeth=3)}}, "unexpected keyword argument 'dpeth'"),
        ({'a': {'type': 'Torchvision', 'model': 'resnet19'}}, "no classifier 'resnet19'; did you mean: resnet"),
        (
            {'a': {'type': 'Torchvision', 'model': 'resnet18', 'weights': 'V9'}},
            "no weights 'V9' of resnet18; it has: IMAGENET1K_V1",
        ),
        ({'a': {'type': 'Torchvision', 'model': 'resnet18', 'x': 1, 'checkpoint': 'random'}}, 'cannot be built'),
        ({'a': {'type': 'Timm', 'model': 'resnet19'}}, "timm has no model 'resnet19'; did you mean: resnet"),
        ({'a': {'type': 'Callable', 'build': 'no.module.f'}}, "`build='no.module.f'` cannot be imported"),
        ({'a': {'type': 'Callable', 'build': 'f'}}, "`build='f'` cannot be imported"),
        ({'a': {'type': 'Callable', 'build': f'{__name__}.STUDENT'}}, 'is no callable'),
        ({'a': {'type': 'Callable', 'build': tensor}}, 'returned a Tensor, not an nn.Module'),
        ({'a': {**CALLABLE, 'temperature': 0}}, "teacher 'a': temperature must be above 0, it is 0"),
        ({'a': {**CALLABLE, 'temperature': '4'}}, "temperature must be above 0, it is '4'"),
        ({'a': {**CALLABLE, 'channel_order': 'RGB'}}, "channel_order must be 'rgb' or 'bgr', it is 'RGB'"),
        ({'a': {**CALLABLE, 'mean': (1.0,)}}, 'mean and std go together'),
        ({'a': {**CALLABLE, 'mean': 1.0, 'std': (1.0,)}}, 'mean must be a list of numbers'),
        ({'a': {**CALLABLE, 'mean': (1.0, 2.0, 3.0), 'std': (1.0, 2.0)}}, 'std must be a list of numbers'),
        ({'a': {**CALLABLE, 'mean': (1.0,), 'std': (0.0,)}}, 'std must be above 0'),
        ({'a': {**CALLABLE, 'input_size': 0}}, 'input_size must be a number of pixels or (height, width)'),
        ({'a': {**CALLABLE, 'input_size': (1, 2, 3)}}, 'input_size must be a number of pixels or (height, width)'),
    ],
)
def test_mistakes_are_one_line(entries, message):
    with pytest.raises(MTKDError) as caught:
        build_pool(entries, temperature=4.0, source=STUDENT)
    assert message in str(caught.value)
    assert '\n' not in str(caught.value)


def test_errors_of_the_users_own_code_keep_their_traceback():
    def broken() -> nn.Module:
        raise ZeroDivisionError('mine')

    with pytest.raises(ZeroDivisionError, match='mine'):
        only(type='Callable', build=broken)


# The manifest -----------------------------------------------------------------------------------------------------


def entry(name: str, sha256: str = 'aa', source: str = 'x', fed: str = 'rgb') -> dict:
    return {'name': name, 'source': source, 'sha256': sha256, 'input': fed}


def test_the_manifest_is_plain_and_says_who_taught(tmp_path):
    pool = pool_of(b=CALLABLE, a=MODEL)
    torch.save(manifest(pool), tmp_path / 'm.pth')
    assert torch.load(tmp_path / 'm.pth', weights_only=True) == [
        entry('a', sha256_of(pool[0].model), 'OpenMMLab ImageClassifier', str(pool[0].contract)),
        entry('b', sha256_of(pool[1].model), 'Callable mine', str(pool[1].contract)),
    ]


def test_manifests_differ_by_names_weights_and_input():
    assert "'a' is fed otherwise (saved rgb; now bgr)" in str(compare_manifests([entry('a')], [entry('a', fed='bgr')]))
    assert compare_manifests([entry('a'), entry('b')], [entry('b', source='elsewhere'), entry('a')]) is None
    text = compare_manifests([entry('a'), entry('b', 'bbbb'), entry('c')], [entry('b', 'cccc'), entry('c'), entry('d')])
    assert text is not None
    assert "'a' was saved and is not in the pool" in text
    assert "'d' is in the pool and was not saved" in text
    assert "'b' has other weights (saved x, sha256 bbbb; now x, sha256 cccc)" in text
    assert "'c'" not in text
