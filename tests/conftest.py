import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.registry import DefaultScope

torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption('--write-docs', action='store_true', help='write docs/mistakes.md of what the tests see')


@pytest.fixture(autouse=True)
def _own_scope():
    """Leaves no default scope behind: a test that builds a Runner sets one for the whole process."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Address of a server of the folder tmp_path/site; torch.hub's cache is tmp_path/cache."""
    site = tmp_path / 'site'
    site.mkdir()
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(site))) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()
