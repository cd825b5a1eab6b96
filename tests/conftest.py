import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.utils import ManagerMixin

torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption('--write-docs', action='store_true', help='write docs/mistakes.md of what the tests see')


@pytest.fixture(autouse=True)
def _own_globals():
    """Leaves nothing behind of what a Runner registers for the whole process.

    That is the default scope, and loggers, message hubs and visualizers under names that hold the time in seconds: a
    later test could get a logger whose standard output is closed by now, or the history of another run.
    """
    before = {kind: dict(kind._instance_dict) for kind in _managed()}
    yield
    for kind in _managed():
        kind._instance_dict.clear()
        kind._instance_dict.update(before.get(kind, {}))


def _managed(kind=ManagerMixin):
    return {found for child in kind.__subclasses__() for found in (child, *_managed(child))}


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
