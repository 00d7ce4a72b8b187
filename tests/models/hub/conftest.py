import threading

import pytest
import torch
from local_hub import SMALL, Hub

from medicane_models.network.modeling import MedicaneForVideoClassification


@pytest.fixture
def hub(monkeypatch):
    """The server that all downloads and uploads go to."""
    server = Hub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    """A saved model without a processor."""
    torch.manual_seed(0)
    MedicaneForVideoClassification(SMALL).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"
