import threading
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from huggingface_hub import close_session
from local_hub import COMMITS, PROCESSOR, SECRET, SMALL
from onnx_files import cold_scene, write_onnx

from medicane_models import OnnxPredictor
from medicane_models.diagnosis.inspection import inspect_model
from medicane_models.errors import CheckpointError, ConfigurationError, MissingFileError
from medicane_models.hub import resolve_file, resolve_revision
from medicane_models.network.auto import AutoMedicaneModel
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_models.runtimes.onnx import find_onnx
from medicane_models.scenes.processing import MedicaneProcessor


def test_models_come_from_the_hub_once(hub, folder, cache):
    hub.publish("me/storms", folder)
    model = AutoMedicaneModel.from_pretrained("me/storms", cache_dir=cache)
    assert model.config == SMALL
    hub.repositories.clear()
    assert AutoMedicaneModel.from_pretrained("me/storms", cache_dir=cache, local_files_only=True)


def test_a_processor_comes_from_the_hub_and_stays(hub, folder, cache):
    PROCESSOR.save_pretrained(folder)
    hub.publish("me/storms", folder)
    for offline in (False, True):
        place = {"cache_dir": cache, "local_files_only": offline}
        assert AutoMedicaneModel.from_pretrained("me/storms", **place).processor == PROCESSOR


@pytest.mark.parametrize("subfolder", ["", "model"])
def test_what_the_hub_did_not_have_is_known_offline(hub, folder, cache, subfolder):
    hub.publish("me/storms", folder.parent if subfolder else folder)
    place = {"cache_dir": cache, "subfolder": subfolder}
    for offline in (False, True):
        with pytest.raises(MissingFileError, match=r"holds no preprocessor_config\.json"):
            MedicaneProcessor.from_pretrained("me/storms", local_files_only=offline, **place)


def test_forced_downloads_ask_again(hub, folder, cache):
    hub.publish("me/storms", folder)
    resolve_file("me/storms", "config.json", cache_dir=cache)
    before = len(hub.requests)
    path = resolve_file("me/storms", "config.json", cache_dir=cache, force_download=True)
    assert len(hub.requests) > before
    assert path.read_bytes() == (folder / "config.json").read_bytes()


def test_revisions_and_their_commit(hub, folder, cache):
    hub.publish("me/storms", folder)
    SMALL.replace(threshold=0.9).save_pretrained(folder)
    hub.publish("me/storms", folder, COMMITS[1], "v2")
    place = {"cache_dir": cache, "revision": "v2"}
    assert AutoMedicaneModel.from_pretrained("me/storms", **place).config.threshold == 0.9
    assert resolve_revision("me/storms", **place) == COMMITS[1]
    assert resolve_revision("me/storms", cache_dir=cache) == COMMITS[0]


def test_models_in_subfolders(hub, folder, cache):
    hub.publish("me/storms", folder.parent)
    place = {"cache_dir": cache, "subfolder": "model"}
    assert AutoMedicaneModel.from_pretrained("me/storms", **place).config == SMALL
    assert AutoMedicaneModel.from_pretrained(folder.parent, subfolder="model").config == SMALL


def test_private_models_need_the_token(hub, folder, cache):
    hub.publish("me/private", folder)
    with pytest.raises(CheckpointError, match="needs a token"):
        AutoMedicaneModel.from_pretrained("me/private", cache_dir=cache, token=False)
    assert AutoMedicaneModel.from_pretrained("me/private", cache_dir=cache, token=SECRET)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("me/nothing", {}, r"me/nothing is not on the Hub.*medicane-tiny-detector"),
        ("me/storms", {"revision": "v9"}, "no revision 'v9'"),
        ("me/storms", {"subfolder": "x"}, r"holds no config\.json"),
        ("me/other", {"local_files_only": True}, "not in the cache"),
        ("medicane-huge", {}, r"is not a folder.*medicane-tiny-detector, medicane-tiny-tracker"),
        ("./nowhere", {}, "is not a folder"),
    ],
)
def test_what_cannot_be_found_is_said_plainly(hub, folder, cache, name, options, words):
    hub.publish("me/storms", folder)
    with pytest.raises(CheckpointError, match=words):
        AutoMedicaneModel.from_pretrained(name, cache_dir=cache, **options)


def test_offline_mode_uses_the_cache_only(hub, folder, cache, monkeypatch):
    hub.publish("me/storms", folder)
    resolve_file("me/storms", "config.json", cache_dir=cache)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert resolve_file("me/storms", "config.json", cache_dir=cache).is_file()
    with pytest.raises(CheckpointError, match="offline mode"):
        resolve_file("me/storms", "model.safetensors", cache_dir=cache)


def test_local_and_embedded_models_have_no_revision(folder):
    assert resolve_revision(folder) is None
    assert resolve_revision("medicane-tiny-detector") is None


BAD_PROXIES = {
    "wants a password": b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n",
    "speaks no HTTP": b"hello\r\n\r\n",
    "hangs up": b"",
}


@pytest.mark.parametrize("answer", BAD_PROXIES.values(), ids=BAD_PROXIES)
def test_a_bad_proxy_is_told_in_one_sentence(answer, cache, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with answering(answer) as address:
        monkeypatch.setenv("HTTPS_PROXY", address)
        assert "HTTPS_PROXY" in download_error(cache)


def test_a_proxy_of_an_unknown_kind_is_told_in_one_sentence(cache, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy")
    assert "nonsense://proxy" in download_error(cache)


@contextmanager
def answering(answer):
    """The address of a server that says the same to everyone."""

    class Same(BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Same) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def download_error(cache):
    """What is said of a download that cannot be; one sentence."""
    close_session()
    with pytest.raises(CheckpointError, match=r"config\.json of me/storms cannot be") as raised:
        resolve_file("me/storms", "config.json", cache_dir=cache)
    close_session()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_pinned_revision_is_honoured_and_recorded(hub, cache, tmp_path):
    for number, (name, task) in enumerate({"me/d": "classification", "me/t": "tracking"}.items()):
        write_onnx(tmp_path / task / "model.onnx", task)
        hub.publish(name, tmp_path / task, COMMITS[number], "v2")
        hub.publish(name, tmp_path, "c" * 40)  # without a model
    predictor = OnnxPredictor.from_pretrained(
        "me/d", "me/t", revision="v2", tracker_revision="v2", device="cpu", cache_dir=cache
    )
    found = predictor.predict(cold_scene())
    assert set(found.table["revision"]) == {COMMITS[0]}
    models = (found.provenance[role] for role in ("detector", "tracker"))
    assert tuple(model["revision"] for model in models) == COMMITS
    found.write(tmp_path / "out", ["netcdf", "geojson"])
    for file in ("tracks.geojson", "tracks.nc", "detections.json"):
        assert COMMITS[1].encode() in (tmp_path / "out" / file).read_bytes()


def test_inspecting_a_repository_leaves_the_weights_there(hub, folder, cache):
    hub.publish("me/storms", folder)
    told = inspect_model("me/storms", cache_dir=cache)
    model = MedicaneForVideoClassification.from_pretrained(folder)
    assert told["kind"] == "Hub repository"
    assert told["revision"] == COMMITS[0]
    assert told["parameters"] == sum(p.numel() for p in model.parameters())
    assert not list(cache.rglob("*.safetensors"))


def test_exported_files_come_with_their_external_data(hub, cache, tmp_path):
    for name in ("model.onnx", "model.onnx.data"):
        (tmp_path / name).write_text(name)
    hub.publish("me/storms", tmp_path)
    path = find_onnx("me/storms", cache_dir=cache)
    assert path.read_text() == "model.onnx"
    assert path.with_name("model.onnx.data").read_text() == "model.onnx.data"


def test_a_repository_without_an_exported_file_says_how_to_make_it(hub, folder, cache):
    hub.publish("me/storms", folder)
    with pytest.raises(CheckpointError, match="run: medicane-export onnx me/storms --out DIR"):
        find_onnx("me/storms", cache_dir=cache)


@pytest.mark.parametrize(
    "look", [AutoMedicaneModel, MedicaneConfig, MedicaneProcessor], ids=lambda cls: cls.__name__
)
def test_an_option_that_nobody_knows_is_refused(look):
    with pytest.raises(ConfigurationError, match=r"local_file_only.*known are"):
        look.from_pretrained("medicane-tiny-detector", local_file_only=True)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.onnx"])
def test_pointers_of_git_lfs_are_not_files(name, tmp_path):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(
        CheckpointError, match=f"{name} is a Git LFS pointer.*git lfs pull"
    ) as raised:
        resolve_file(tmp_path, name)
    assert not isinstance(raised.value, MissingFileError)
