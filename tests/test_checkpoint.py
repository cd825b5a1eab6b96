import argparse
import functools
import hashlib
import io
import os
import pickle
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.checkpoint import load_into, read_checkpoint, sha256_of, state_dict_of

torch.set_num_threads(1)


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, inputs: Tensor, mode: str = 'tensor'):
        out = self.norm(self.fc(inputs))
        return {'loss': out.square().mean()} if mode == 'loss' else out


def network(classes: int = 10, width: int = 4) -> nn.Sequential:
    layers = [('conv', nn.Conv2d(3, width, 3)), ('norm', nn.BatchNorm2d(width)), ('fc', nn.Linear(width, classes))]
    return nn.Sequential(OrderedDict(layers))


@pytest.fixture
def marker(tmp_path) -> Path:
    """A file that is there only if something ran."""
    return tmp_path / 'it-ran'


class Calls:
    """Pickles as a call of what it is given."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


# Saved files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('scheduler', ['OneCycleLR', 'CosineAnnealingLR', 'ReduceOnPlateauLR'])
def test_a_checkpoint_of_the_real_runner(tmp_path, scheduler):
    options = {
        'OneCycleLR': {'eta_max': 0.1, 'total_steps': 4},
        'CosineAnnealingLR': {'T_max': 4},
        'ReduceOnPlateauLR': {'monitor': 'x'},
    }
    runner = Runner(
        Toy(),
        str(tmp_path),
        train_dataloader={
            'dataset': [torch.rand(2) for _ in range(8)],
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            'batch_size': 4,
            'collate_fn': lambda rows: {'inputs': torch.stack(rows)},
        },
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.1}},
        param_scheduler={'type': scheduler, **options[scheduler]},
        custom_hooks=[{'type': 'EMAHook'}],
        default_hooks={'logger': {'type': 'LoggerHook', 'interval': 1}},
        log_level='ERROR',
        experiment_name=f'checkpoint-{scheduler}',
        cfg={'work_dir': str(tmp_path)},
    )
    runner.train()
    path = tmp_path / 'epoch_1.pth'
    checkpoint = read_checkpoint(path)
    expected = torch.load(path, weights_only=False)

    assert checkpoint.keys() == expected.keys()
    assert checkpoint['param_schedulers'] == expected['param_schedulers']
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert type(history) is HistoryBuffer
    assert history.mean() == expected['message_hub']['log_scalars']['train/loss'].mean()
    model = Toy()
    report = load_into(model, state_dict_of(checkpoint), name='toy', path=path)
    assert not any(report)
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected['state_dict'][key])


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {}, 'message_hub': {'loss': HistoryBuffer([1.0], [1])}}, path)
    with ThreadPoolExecutor(4) as executor:
        assert all('message_hub' in read for read in executor.map(read_checkpoint, [path] * 400))


def test_numpy_configs_and_arguments_come_back_equal(tmp_path):
    meta = {
        'scalars': [np.float32(3), np.int64(4), np.bool_(True)],
        'arrays': [np.arange(3), np.eye(2, dtype=np.float16), np.array(['cat', 'dog'])],
        'config': ConfigDict(a={'b': [1, {'c': 2}]}),
        'args': argparse.Namespace(epochs=3),
        'classes': ('cat', 'dog'),
    }
    torch.save({'state_dict': network().state_dict(), 'meta': meta}, tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth')['meta']
    assert read['scalars'] == meta['scalars']
    assert all(np.array_equal(a, b) for a, b in zip(read['arrays'], meta['arrays']))
    assert read['config'].a.b[1].c == 2
    assert read['args'] == meta['args']


def test_arrays_saved_before_numpy_2(tmp_path):
    buffer = io.BytesIO()
    torch.save({'w': torch.ones(2), 'a': np.arange(3)}, buffer, _use_new_zipfile_serialization=False)
    old = buffer.getvalue().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    (tmp_path / 'old.pth').write_bytes(old)
    assert np.array_equal(read_checkpoint(tmp_path / 'old.pth')['a'], np.arange(3))


# Hostile files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(
    ('function', 'arguments', 'called'),
    [
        (os.system, ['touch {marker}'], r'\w+\.system'),
        (eval, ["open('{marker}', 'w')"], 'eval'),
        (open, ['{marker}', 'w'], 'open'),
        (functools.partial, [os.mkdir, '{marker}'], r'functools\.partial'),
        (getattr, [HistoryBuffer, '__init__'], r'getattr\(_History,__init__\)'),
        (getattr, [np.ndarray, 'tofile'], r'getattr\(ndarray,tofile\)'),
        (pickle.loads, [b''], r'pickle\.loads'),
    ],
)
def test_a_file_that_holds_code_runs_nothing(tmp_path, marker, function, arguments, called, zipped):
    arguments = [each.format(marker=marker) if isinstance(each, str) else each for each in arguments]
    path = tmp_path / 'evil.pth'
    content = {'state_dict': network().state_dict(), 'meta': [Calls(function, *arguments)]}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(MTKDError, match=f'evil.pth.* is refused: it calls .*{called}.* trust=True') as caught:
        read_checkpoint(path)
    assert '\n' not in str(caught.value)
    assert not marker.exists()


def test_the_same_file_runs_once_it_is_trusted(tmp_path, marker):
    torch.save({'w': torch.ones(1), 'x': Calls(open, str(marker), 'w')}, tmp_path / 'evil.pth')
    read_checkpoint(tmp_path / 'evil.pth', trust=True)
    assert marker.exists()


def test_a_whole_model_is_refused_by_name(tmp_path):
    torch.save(network(), tmp_path / 'model.pth')
    with pytest.raises(MTKDError, match=r'calls torch\.nn\.modules\.container\.Sequential'):
        read_checkpoint(tmp_path / 'model.pth')


def test_a_log_history_cannot_replace_methods_of_its_class(tmp_path):
    before = dict(HistoryBuffer._statistics_methods)
    history = HistoryBuffer([1.0], [1])
    history._statistics_methods = {**before, 'mean': torch.Tensor, 'injected': OrderedDict}
    torch.save({'w': torch.ones(1), 'history': history}, tmp_path / 'a.pth')
    with pytest.raises(MTKDError, match=r'refused: it calls HistoryBuffer\.register_statistics'):
        read_checkpoint(tmp_path / 'a.pth')
    assert HistoryBuffer._statistics_methods == before


@pytest.mark.parametrize('array', [np.array([{}], dtype=object), np.zeros(1, dtype=[('a', 'f4')])])
def test_arrays_whose_dtype_says_how_to_read_memory_are_refused(tmp_path, array):
    torch.save({'w': torch.ones(1), 'a': array}, tmp_path / 'a.pth')
    with pytest.raises(MTKDError, match=r'refused.*numpy\.dtype'):
        read_checkpoint(tmp_path / 'a.pth')


def test_what_the_user_allowed_stays_allowed(tmp_path):
    torch.save({'w': torch.ones(1)}, tmp_path / 'a.pth')
    with torch.serialization.safe_globals([HistoryBuffer]):
        allowed = set(torch.serialization.get_safe_globals())
        read_checkpoint(tmp_path / 'a.pth')
        assert set(torch.serialization.get_safe_globals()) == allowed


def test_a_refusal_leaves_nothing_allowed(tmp_path):
    torch.save({'x': Calls(eval, '1')}, tmp_path / 'evil.pth')
    allowed = set(torch.serialization.get_safe_globals())
    with pytest.raises(MTKDError):
        read_checkpoint(tmp_path / 'evil.pth')
    assert set(torch.serialization.get_safe_globals()) == allowed


# Broken files -----------------------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path):
    with pytest.raises(MTKDError, match=r'nothing\.pth. is not there'):
        read_checkpoint(tmp_path / 'nothing.pth')
    with pytest.raises(MTKDError, match='is not there'):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('share', [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_file(tmp_path, share, zipped):
    buffer = io.BytesIO()
    torch.save({'state_dict': network(width=32).state_dict()}, buffer, _use_new_zipfile_serialization=zipped)
    content = buffer.getvalue()
    (tmp_path / 'cut.pth').write_bytes(content[: int(share * len(content))])
    for trust in (False, True):
        with pytest.raises(MTKDError, match=r'cut\.pth. is truncated or no checkpoint') as caught:
            read_checkpoint(tmp_path / 'cut.pth', trust)
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'content', [b'hello, this is no checkpoint', b'\x80\x02.', pickle.dumps({'a': 1}), b'PK\x03\x04']
)
def test_a_file_of_something_else(tmp_path, content):
    (tmp_path / 'readme.pth').write_bytes(content)
    with pytest.raises(MTKDError, match=r'readme\.pth. is truncated or no checkpoint'):
        read_checkpoint(tmp_path / 'readme.pth')


def test_a_file_that_holds_no_dictionary(tmp_path):
    torch.save(torch.ones(2), tmp_path / 'a.pth')
    with pytest.raises(MTKDError, match='holds a Tensor and no state_dict'):
        read_checkpoint(tmp_path / 'a.pth')


# Downloads --------------------------------------------------------------------------------------------------------


def test_a_url_is_downloaded_once_and_checked(tmp_path, server):
    content = io.BytesIO()
    torch.save({'w': torch.ones(2)}, content)
    digest = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    served = tmp_path / 'site' / f'net-{digest}.pth'
    served.write_bytes(content.getvalue())
    url = f'{server}/{served.name}'
    assert torch.equal(read_checkpoint(url)['w'], torch.ones(2))
    served.unlink()
    assert torch.equal(read_checkpoint(url)['w'], torch.ones(2))

    (tmp_path / 'site' / 'net-00000000.pth').write_bytes(content.getvalue())
    with pytest.raises(MTKDError, match=r'net-00000000.pth. cannot be downloaded .*invalid hash'):
        read_checkpoint(f'{server}/net-00000000.pth')


def test_two_urls_with_the_same_file_name_are_two_files(tmp_path, server):
    for number in (1, 2):
        (tmp_path / 'site' / str(number)).mkdir()
        torch.save({'w': torch.tensor(number)}, tmp_path / 'site' / str(number) / 'latest.pth')
    assert [read_checkpoint(f'{server}/{number}/latest.pth')['w'] for number in (1, 2)] == [1, 2]


def test_a_hostile_download_runs_nothing(tmp_path, server, marker):
    torch.save({'w': torch.ones(1), 'x': Calls(open, str(marker), 'w')}, tmp_path / 'site' / 'evil.pth')
    with pytest.raises(MTKDError, match='refused: it calls'):
        read_checkpoint(f'{server}/evil.pth')
    assert not marker.exists()


def test_a_url_that_is_not_there(server):
    with pytest.raises(MTKDError, match=r'http.*nothing.pth. cannot be downloaded .*404'):
        read_checkpoint(f'{server}/nothing.pth')


# Finding parameters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('key', ['state_dict', 'model', 'model_state_dict', None])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_parameters_are_found_and_unwrapped(key, prefix):
    expected = network().state_dict()
    prefixed = OrderedDict((prefix + name, value) for name, value in expected.items())
    found = state_dict_of({key: prefixed, 'epoch': 3} if key else prefixed)
    assert list(found) == list(expected)


def test_the_format_version_of_layers_survives_data_parallel(tmp_path):
    torch.save(nn.DataParallel(network()).state_dict(), tmp_path / 'a.pth')
    found = state_dict_of(read_checkpoint(tmp_path / 'a.pth'))
    assert found._metadata['norm']['version'] == nn.BatchNorm2d._version


def test_a_prefix_that_some_keys_lack_stays():
    assert set(state_dict_of({'module.a': torch.ones(1), 'b': torch.ones(1)})) == {'module.a', 'b'}


@pytest.mark.parametrize(
    'checkpoint', [{}, {'net': {'w': torch.ones(1)}, 'epoch': 3}, {'state_dict': None, 'acc': 0.9}]
)
def test_a_checkpoint_without_parameters(checkpoint):
    keys = ', '.join(checkpoint) or 'nothing'
    with pytest.raises(MTKDError, match=rf"'a.pth' has no state_dict in it \(it holds: {keys}\)"):
        state_dict_of(checkpoint, 'a.pth')


# Loading ----------------------------------------------------------------------------------------------------------


def test_what_fits_is_loaded_without_a_word():
    trained, model = network(), network()
    assert not any(load_into(model, trained.state_dict(), name='t', path='a.pth'))
    assert sha256_of(model) == sha256_of(trained)


def test_batchnorm_counters_are_not_missed():
    state_dict = network().state_dict()
    del state_dict['norm.num_batches_tracked']
    assert not any(load_into(network(), state_dict, name='t', path='a.pth'))


def test_missing_and_unexpected_keys_are_counted_and_named():
    state_dict = network().state_dict()
    for key in ('conv.weight', 'norm.weight', 'norm.bias', 'norm.running_mean'):
        state_dict[f'old.{key}'] = state_dict.pop(key)
    with pytest.raises(MTKDError) as caught:
        load_into(network(), state_dict, name='r50', path='a.pth')
    text = str(caught.value)
    assert "teacher 'r50': 'a.pth'" in text
    assert '4 missing from the file (conv.weight, norm.weight, norm.bias, ...)' in text
    assert '4 unexpected (old.conv.weight, old.norm.weight, old.norm.bias, ...)' in text
    assert 'strict=False' in text
    assert '\n' not in text


def test_other_shapes_are_named_with_both_shapes():
    with pytest.raises(MTKDError, match=r'7 of another shape \(conv.weight \(8, 3, 3, 3\) against \(4, 3, 3, 3\)'):
        load_into(network(width=4), network(width=8).state_dict(), name='t', path='a.pth')


def test_another_number_of_classes_is_said_plainly():
    with pytest.raises(
        MTKDError, match=r"teacher 't': 'a.pth' has 10 classes in the file, 100 in the model \(layer fc\)"
    ):
        load_into(network(classes=100), network(classes=10).state_dict(), name='t', path='a.pth')


def test_a_foreign_checkpoint_is_said_plainly():
    foreign = {'features.0.weight': torch.ones(2), 'features.1.weight': torch.ones(2)}
    for strict in (True, False):
        with pytest.raises(MTKDError, match=r'another architecture: none of its 2 keys \(features.0.weight, '):
            load_into(network(), foreign, name='t', path='a.pth', strict=strict)


def test_not_strict_loads_what_fits_and_reports_the_rest():
    trained, model = network(classes=10), network(classes=100)
    head = model.fc.weight.clone()
    state_dict = {**trained.state_dict(), 'extra': torch.ones(1)}
    del state_dict['norm.bias']
    report = load_into(model, state_dict, name='t', path='a.pth', strict=False)
    assert report.missing == ('norm.bias',)
    assert report.unexpected == ('extra',)
    assert report.mismatched == ('fc.weight', 'fc.bias')
    assert torch.equal(model.conv.weight, trained.conv.weight)
    assert torch.equal(model.fc.weight, head)


def test_loading_goes_through_the_hooks_of_the_model():
    from mmpretrain.models import VisionTransformer

    arch = {'embed_dims': 8, 'num_layers': 1, 'num_heads': 1, 'feedforward_channels': 8}
    small, large = (VisionTransformer(arch, img_size=size, patch_size=16) for size in (32, 64))
    assert not any(load_into(large, small.state_dict(), name='vit', path='a.pth'))  # resizes the position embedding


def test_fingerprints_tell_models_and_files_apart(tmp_path):
    model = network()
    before = sha256_of(model)
    assert sha256_of(model) == before
    with torch.no_grad():
        model.fc.bias[0] += 1
    assert sha256_of(model) != before
    assert sha256_of(model.half()) != before
    (tmp_path / 'f').write_bytes(b'abc')
    assert sha256_of(tmp_path / 'f') == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'  # FIPS 180-2
