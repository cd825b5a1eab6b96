"""Published students: what comes with the package, what is refused, and how a run is published."""

import hashlib
import json
import pickle
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
import yaml
from mmengine.registry import DATASETS, MODELS, DefaultScope
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

import mtkd_rl.zoo as zoo
from mtkd_rl.errors import MTKDError
from mtkd_rl.zoo import index
from mtkd_rl.zoo.page import page
from mtkd_rl.zoo.predict import asked
from mtkd_rl.zoo.publish import publish
from mtkd_rl.zoo.recipe import check_types, from_json, neutral, to_json

ROOT = Path(__file__).parents[1]
TASKS = {'classification', 'detection', 'segmentation', 'fusion'}


def tool(name: str) -> Any:
    spec = spec_from_file_location(f'tool_{name}', ROOT / f'tools/{name}.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- what comes with the package


def test_there_is_a_student_for_every_task():
    assert {zoo.entry(name).task for name in zoo.list()} == TASKS


def test_students_are_small():
    sizes = [path.stat().st_size for path in index.STUDENTS.iterdir()]
    assert max(sizes) <= 10**6
    assert sum(sizes) <= 10**7


@pytest.mark.parametrize('name', zoo.list())
def test_a_student_loads_and_its_config_is_there(name):
    student = zoo.load(name)
    assert not student.model.training
    assert (ROOT / student.entry.config).is_file()
    assert student.entry.metrics
    named = sum(weight.numel() for weight in student.model.parameters())
    assert named == student.entry.metadata['Parameters']


def test_the_page_is_that_of_the_metafile():
    assert (ROOT / 'model_zoo.md').read_text() == page(), 'run python tools/publish_model.py --page'


def test_the_model_index_names_the_metafile():
    (metafile,) = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert ROOT / metafile == index.STUDENTS / index.METAFILE


def test_the_digits_student_scores_what_the_page_says():
    student = zoo.load('tiny_digits')
    data = DATASETS.build(dict(type='mtkd_rl.Digits', split='val', pipeline=[dict(type='mmpretrain.PackInputs')]))
    pictures, labels = zip(*((item['inputs'], int(item['data_samples'].gt_label)) for item in data))
    with torch.no_grad():
        inputs = student.model.data_preprocessor({'inputs': torch.stack(pictures)})['inputs']
        said = student.model(inputs, mode='tensor').argmax(dim=1)
    top1 = 100 * (said == torch.tensor(labels)).float().mean()
    assert float(top1) == pytest.approx(student.entry.metrics['accuracy/top1'], abs=0.01)


def test_a_name_that_there_is_not():
    with pytest.raises(MTKDError, match=r"no student 'tiny_digit'; did you mean: tiny_digits"):
        zoo.load('tiny_digit')


# ---- what is refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the package's students."""
    return Path(shutil.copytree(index.STUDENTS, tmp_path / 'students'))


def file_of(folder: Path, name: str = 'tiny_digits') -> Path:
    return folder / zoo.entry(name, folder).file


def enter_anew(folder: Path, name: str = 'tiny_digits') -> Path:
    """As whoever made the file might do: it has the hash that the metafile and its name say."""
    old = file_of(folder, name)
    sha256 = hashlib.sha256(old.read_bytes()).hexdigest()
    new = old.rename(folder / f'{name}-{sha256[:8]}.safetensors')
    metafile = folder / index.METAFILE
    known = yaml.safe_load(metafile.read_text())
    for model in known['Models']:
        if model['Name'] == name:
            model['Weights'] = new.name
            model['Metadata'].update(SHA256=sha256, Bytes=new.stat().st_size)
    metafile.write_text(yaml.safe_dump(known))
    return new


def test_a_folder_is_as_good(folder):
    assert zoo.list(folder) == zoo.list()
    assert runs.same(
        dict(zoo.load('tiny_digits', folder).model.state_dict()), dict(zoo.load('tiny_digits').model.state_dict())
    )


def test_a_url_is_as_good(folder, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    url = folder.as_uri()
    assert zoo.list(url) == zoo.list()
    zoo.load('tiny_digits', url)
    assert list((tmp_path / 'cache').rglob('tiny_digits-*.safetensors'))
    # what was cut short on its way is refused, and fetched anew
    (kept,) = (tmp_path / 'cache').rglob('tiny_digits-*.safetensors')
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(MTKDError, match='is refused: it has 1000 bytes'):
        zoo.load('tiny_digits', url)
    zoo.load('tiny_digits', url)
    shutil.rmtree(folder)
    with pytest.raises(MTKDError, match='cannot be had'):
        zoo.load('tiny_digits', url)  # what there is may have changed
    with pytest.raises(MTKDError, match='begins with'):
        zoo.list('ftp://nowhere')


def test_a_download_that_is_cut_short(tmp_path, monkeypatch):
    class Short(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header('Content-Length', '5000')
            self.end_headers()
            self.wfile.write(b'x' * 1000)

        def log_message(self, *args: Any) -> None:
            pass

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with HTTPServer(('127.0.0.1', 0), Short) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(MTKDError, match='was cut short: 1000 bytes of 5000'):
            index.download(f'http://127.0.0.1:{server.server_port}', 'a.safetensors')
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


@pytest.mark.parametrize('at', [0, 9, 2000, -1])
def test_a_flipped_byte_is_refused_by_name(folder, at):
    path = file_of(folder)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(MTKDError, match=rf'{path.name} is refused: its sha256'):
        zoo.load('tiny_digits', folder)


@pytest.mark.parametrize('left', [0, 7, 3000, -1])
def test_a_file_that_is_cut_short_is_refused_by_name(folder, left):
    path = file_of(folder)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(MTKDError, match=rf'{path.name} is refused: it has \d+ bytes and should have'):
        zoo.load('tiny_digits', folder)


class Harm:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize('entered', [False, True])
def test_a_pickle_by_another_name_is_refused_and_not_read(folder, tmp_path, entered):
    path = file_of(folder)
    path.write_bytes(pickle.dumps(Harm(tmp_path / 'harm')))
    if entered:
        path = enter_anew(folder)
    with pytest.raises(MTKDError, match=rf'{path.name} is refused'):
        zoo.load('tiny_digits', folder)
    assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize('kind', ['os.system', 'mtkd_rl.hook.MTKDHook', 'builtins.exec', 'antigravity', 'exit', 3])
def test_a_recipe_builds_nothing_but_what_is_registered(folder, kind):
    path, student = file_of(folder), zoo.load('tiny_digits')
    recipe = {**student.recipe, 'model': {**student.recipe['model'], 'neck': {'type': kind}}}
    metadata = {'format': '1', 'recipe': to_json(recipe), 'classes': '[]'}
    save_file(student.model.state_dict(), path, metadata)
    path = enter_anew(folder)
    with pytest.raises(MTKDError, match=rf'{path.name} is refused: it would build {kind!r}'):
        zoo.load('tiny_digits', folder)


def test_what_nms_is_called_is_no_python():
    recipe = {'default_scope': 'mmdet', 'model': {'test_cfg': {'nms': {'type': 'nms'}}}}
    check_types(recipe, 'a')
    with pytest.raises(MTKDError, match="it would look into 'antigravity'"):
        check_types({**recipe, '_scope_': 'antigravity'}, 'a')
    recipe['model']['test_cfg']['nms']['type'] = '__import__'
    with pytest.raises(MTKDError, match='it would build'):
        check_types(recipe, 'a')


def test_weights_of_somebody_else_are_refused(folder):
    path = file_of(folder)
    save_file({'weight': torch.zeros(3)}, path)
    path = enter_anew(folder)
    with pytest.raises(MTKDError, match=rf'{path.name} is refused: it is not of a student of mtkd_rl'):
        zoo.load('tiny_digits', folder)


@pytest.mark.parametrize('text', ['', '[]', 'Models: 3', 'Models: [{Name: a}]', '{'])
def test_a_metafile_that_is_none(tmp_path, text):
    (tmp_path / index.METAFILE).write_text(text)
    with pytest.raises(MTKDError, match='is no metafile of students'):
        zoo.list(tmp_path)


def test_weights_outside_the_folder_are_no_file_of_it(folder):
    metafile = folder / index.METAFILE
    metafile.write_text(metafile.read_text().replace('Weights: ', 'Weights: ../'))
    with pytest.raises(MTKDError, match='is no metafile of students'):
        zoo.list(folder)


def test_a_folder_without_a_metafile(tmp_path):
    with pytest.raises(MTKDError, match=r'there is no file .*metafile\.yml'):
        zoo.list(tmp_path)


# ---- recipes


def test_tuples_stay_tuples():
    recipe = {'a': (1, [2, (3.5,)]), 'b': None, 'c': {'d': ()}, 'e': 'text', 'f': True}
    assert from_json(to_json(recipe)) == recipe
    with pytest.raises(MTKDError, match='the config holds a set'):
        to_json({'a': {1, 2}})


def test_a_model_looks_for_no_weights_of_its_own():
    recipe = {
        'backbone': {'init_cfg': {'type': 'Pretrained', 'checkpoint': 'x'}, 'depth': 5},
        'necks': [{'pretrained': 'y'}],
    }
    assert neutral(recipe) == {'backbone': {'init_cfg': None, 'depth': 5}, 'necks': [{'pretrained': None}]}


# ---- publishing


def test_a_run_is_published(tmp_path):
    runner = runs.train(runs.config(tmp_path / 'run', [runs.entry()], epochs=1, save=True, val=True))
    out = tmp_path / 'zoo'
    told = dict(name='mine', config='a.py', data='digits', licence='BSD', metrics=['accuracy/top1'])
    done = publish(tmp_path / 'run', out, **told)
    assert zoo.list(out) == ['mine']
    student, known = zoo.load('mine', out), zoo.entry('mine', out)
    assert runs.same(dict(student.model.state_dict()), dict(runner.model.state_dict()))
    assert known.metadata['Teachers'] == [teacher.name for teacher in runs.hook_of(runner).pool]
    assert known.metrics == {'accuracy/top1': pytest.approx(logged(tmp_path / 'run', 'accuracy/top1'), abs=1e-4)}
    for path in (done.safetensors, done.pth):
        assert path.stem == f'mine-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}'
    # plain OpenMMLab has the same from the other file, without unpickling either
    saved = torch.load(done.pth, weights_only=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = MODELS.build({**runs.classifier(), 'data_preprocessor': dict(num_classes=10, mean=[78.0], std=[96.0])})
    plain.load_state_dict(saved['state_dict'], strict=True)
    assert runs.same(dict(plain.state_dict()), dict(student.model.state_dict()))
    assert not [key for key in saved['state_dict'] if 'teacher' in key or 'adapter' in key]
    # again: in its own place
    publish(tmp_path / 'run', out, **told)
    assert zoo.list(out) == ['mine']
    assert len(list(out.iterdir())) == 3


def test_weights_are_published_with_what_they_reached_themselves(tmp_path):
    runs.train(runs.config(tmp_path / 'run', [runs.entry()], epochs=2, save=True, val=True))
    told = dict(name='mine', config='a.py', data='digits', licence='BSD', metrics=['accuracy/top1'])
    (tmp_path / 'run/last_checkpoint').write_text(str(tmp_path / 'run/epoch_1.pth'))  # killed in the second epoch
    publish(tmp_path / 'run', tmp_path / 'zoo', **told)
    (file,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    (first,) = (row['accuracy/top1'] for row in rows if 'accuracy/top1' in row and row['step'] == 1)
    assert zoo.entry('mine', tmp_path / 'zoo').metrics == {'accuracy/top1': pytest.approx(first, abs=1e-4)}
    file.write_text('\n'.join(json.dumps(row) for row in rows if row['step'] != 1 or 'accuracy/top1' not in row))
    with pytest.raises(MTKDError, match='was not measured at 1, where the checkpoint is from, but at 2'):
        publish(tmp_path / 'run', tmp_path / 'zoo', **told)


def test_colours_come_as_the_student_learnt_them(tmp_path):
    """One that was shown RGB sees in a picture what one that was shown BGR sees in it with red and blue exchanged."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = {**runs.classifier(), 'data_preprocessor': dict(num_classes=10, mean=[100.0] * 3, std=[50.0] * 3)}
        cfg['backbone'] = {**cfg['backbone'], 'in_channels': 3}
        model = MODELS.build(cfg).eval()
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(8, 8, 3), dtype=np.uint8)
    said = []
    for order, picture in (('rgb', pixels), (None, pixels[..., ::-1])):
        Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / 'a.png')
        recipe = {'default_scope': 'mmpretrain', 'pipeline': [{'type': 'PackInputs'}], 'order': order}
        student = zoo.load('tiny_digits')._replace(model=model, recipe=recipe)
        said.append(asked(student, tmp_path / 'a.png').pred_score)
    assert torch.equal(*said)


def logged(work_dir: Path, metric: str) -> float:
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line)[metric] for line in file.read_text().splitlines() if metric in line][-1]


def test_what_cannot_be_published(tmp_path):
    told = dict(name='mine', config='a.py', data='digits', licence='BSD', metrics=['accuracy/top1'])
    with pytest.raises(MTKDError, match='there is no last_checkpoint'):
        publish(tmp_path, tmp_path / 'zoo', **told)
    runs.train(runs.config(tmp_path / 'run', [runs.entry()], epochs=1, save=True))
    with pytest.raises(MTKDError, match='accuracy/top1'):
        publish(tmp_path / 'run', tmp_path / 'zoo', **told)
    assert not (tmp_path / 'zoo').exists()


def test_the_tool_asks_for_what_others_have_to_know(tmp_path, capsys):
    publish_model = tool('publish_model')
    assert publish_model.main([str(tmp_path), '--name', 'x']) == 1
    assert '--config, --metric, --data, --licence missing' in capsys.readouterr().err
    assert publish_model.main([]) == 1
    assert 'give a WORK_DIR, or --page' in capsys.readouterr().err


# ---- predicting


def test_a_digit_is_recognised(tmp_path, capsys):
    digits = load_digits()
    Image.fromarray((digits.images[5] * 15.9).astype(np.uint8)).save(tmp_path / 'five.png')
    assert tool('predict').main(['tiny_digits', str(tmp_path / 'five.png')]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split()[-1] == str(digits.target[5])


@pytest.mark.parametrize('name', ['tiny_atss_bccd', 'tiny_segformer_camvid'])
def test_a_picture_is_drawn(name, tmp_path, capsys):
    picture = np.random.default_rng(0).integers(0, 256, (72, 96, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / 'a.png')
    out = tmp_path / 'deep/out.png'
    assert tool('predict').main([name, str(tmp_path / 'a.png'), '-o', str(out)]) == 0
    assert Image.open(out).size[0] > 600
    assert str(out) in capsys.readouterr().out


def test_a_pair_is_fused(tmp_path, capsys):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for name in ('ir', 'vi'):
        Image.fromarray(picture).save(tmp_path / f'{name}.png')
    pair = [str(tmp_path / 'ir.png'), str(tmp_path / 'vi.png')]
    assert tool('predict').main(['tiny_roadscene', *pair, '-o', str(tmp_path / 'out.png')]) == 0
    assert Image.open(tmp_path / 'out.png').size == (50, 40)
    assert tool('predict').main(['tiny_roadscene', pair[0], '-o', str(tmp_path / 'out.png')]) == 1
    assert 'fuses an infrared and a visible picture' in capsys.readouterr().err


def test_what_is_no_picture(tmp_path, capsys):
    (tmp_path / 'a.png').write_text('text')
    assert tool('predict').main(['tiny_digits', str(tmp_path / 'a.png')]) == 1
    assert 'cannot be read as a picture' in capsys.readouterr().err
    assert tool('predict').main(['tiny_digits', str(tmp_path / 'b.png')]) == 1
    assert 'there is no such file' in capsys.readouterr().err
