import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import unquote

import pytest
import torch
from huggingface_hub import ModelCard, close_session
from onnx_files import cold_scene, write_onnx
from typer.testing import CliRunner

from medicane_models import OnnxPredictor
from medicane_models.cli import app
from medicane_models.diagnosis.inspection import inspect_model
from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MedicaneError,
    MissingFileError,
    OutputError,
)
from medicane_models.hub import embedded_models, resolve_file, resolve_revision
from medicane_models.network.auto import AutoMedicaneModel, model_class
from medicane_models.network.configuration import MedicaneConfig
from medicane_models.network.modeling import MedicaneForVideoClassification
from medicane_models.runtimes.onnx import find_onnx
from medicane_models.scenes.processing import MedicaneProcessor

SMALL = MedicaneConfig(
    image_size=32, num_frames=2, embed_dim=12, depth=1, num_heads=2, mlp_hidden_dim=24
)
PROCESSOR = MedicaneProcessor.airmass(tile_size=32, num_frames=2, max_missing=1)
PLANES = MedicaneProcessor.planes(size=32, km=20.0)
COMMITS = ("a" * 40, "b" * 40)
SECRET = "hf_secret"


class Hub(ThreadingHTTPServer):
    """As much of the Hugging Face Hub as downloads and uploads of small files touch."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = {}  # name → revision → (commit, files)
        self.created, self.commits, self.requests = [], [], []
        self.refusals = {}  # part of a path → status and code

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def publish(self, name, folder, commit=COMMITS[0], revision="main"):
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        self.repositories.setdefault(name, {}).update({revision: (commit, files)})
        self.repositories[name][commit] = (commit, files)

    def keep(self, name):
        """What the newest commit uploads is there to be downloaded."""
        kept = COMMITS[1], uploaded(self)
        self.repositories["/".join(name)] = {"main": kept, COMMITS[1]: kept}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.requests.append(self.path)
        repository_name, _, rest = unquote(self.path).strip("/").partition("/resolve/")
        revision, _, filename = rest.partition("/")
        repository = self.server.repositories.get(repository_name)
        if repository is None or not self.allowed(repository_name):
            return self.reply(401, b"", {"X-Error-Code": "RepoNotFound"})
        if revision not in repository:
            return self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
        commit, files = repository[revision]
        content = files.get(filename)
        if content is None:
            return self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        tag = f'"{hash((commit, self.path)) & 0xFFFFFFFF:x}"'
        return self.reply(200, content, {"ETag": tag, "X-Repo-Commit": commit})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for part, (status, code) in self.server.refusals.items():
            if part in self.path:
                return self.reply(status, b"", {"X-Error-Code": code})
        if self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self.reply_json({"url": f"{self.server.url}/me/model"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = [{"uploadMode": "regular", "shouldIgnore": False} | f for f in files]
            self.reply_json({"files": modes})
        elif "/commit/" in self.path:
            self.server.commits.append([json.loads(line) for line in body.splitlines()])
            self.server.keep(self.path.split("/")[3:5])
            self.reply_json(
                {"commitUrl": f"{self.server.url}/me/model/commit/x", "commitOid": COMMITS[1]}
            )
        else:
            self.reply_json({"errors": [], "warnings": []})

    def allowed(self, name):
        return name != "me/private" or self.headers.get("Authorization") == f"Bearer {SECRET}"

    def reply_json(self, values):
        self.reply(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def reply(self, status, content, headers):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch):
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
    torch.manual_seed(0)
    MedicaneForVideoClassification(SMALL).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


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


def test_upload_is_one_commit_with_a_card(hub, folder):
    PROCESSOR.save_pretrained(folder)
    model = AutoMedicaneModel.from_pretrained(folder)
    assert model.push_to_hub("me/model", token=SECRET, private=True) == COMMITS[1]
    assert hub.created[0]["name"] == "model"
    files = uploaded(hub)
    names = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(files) == names
    for name in names[1:]:
        assert files[name] == (folder / name).read_bytes()
    assert b"library_name: medicane-models" in files["README.md"]
    assert b"UNTRAINED" in files["README.md"]


STEM = {"stem": "residual", "stem_width": 4, "in_channels": 1, "num_frames": 4}
KINDS = {
    "detector": ("classification", {}, PROCESSOR),
    "tracker with a heat map": ("tracking", {"head": "heatmap"}, PROCESSOR),
    "tracker by regression": ("tracking", {"head": "regression"}, PROCESSOR),
    "backbone": ("pretraining", {}, PROCESSOR),
    "infrared detector": ("classification", STEM, PLANES),
    "infrared tracker": ("tracking", {**STEM, "views": "eight"}, PLANES),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_every_kind_comes_back_as_it_was_pushed(hub, cache, kind):
    task, settings, processor = KINDS[kind]
    torch.manual_seed(0)
    config = MedicaneConfig.from_dict({**SMALL.to_dict(), "task": task, **settings})
    model = model_class(task)(config).eval()
    model.processor = processor
    commit = model.push_to_hub("me/model", token=SECRET)
    back = AutoMedicaneModel.from_pretrained("me/model", revision=commit, cache_dir=cache)
    assert (back.config, back.processor) == (config, processor)
    torch.testing.assert_close(back.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", embedded_models())
def test_embedded_models_come_back_as_they_were_pushed(hub, cache, name):
    assert push(name, "me/model").exit_code == 0
    back = AutoMedicaneModel.from_pretrained("me/model", cache_dir=cache)
    own = AutoMedicaneModel.from_pretrained(name)
    assert (back.config, back.processor) == (own.config, own.processor)
    torch.testing.assert_close(back.state_dict(), own.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", embedded_models())
def test_the_hub_takes_the_cards_of_embedded_models(hub, name):
    card = ModelCard.load(embedded_models()[name] / "README.md")
    assert card.data.eval_results
    assert card.data.library_name == "medicane-models"
    assert card.data.license in ("apache-2.0", "other")
    assert {"video", "satellite", "cyclone"} <= set(card.data.tags)


def push(*arguments):
    return CliRunner().invoke(app, ["push", *map(str, arguments)])


def uploaded(hub):
    """Names and bytes of the files of the newest commit."""
    files = [line["value"] for line in hub.commits[-1] if line["key"] == "file"]
    return {file["path"]: base64.b64decode(file["content"]) for file in files}


def test_pushing_a_folder_uploads_everything_in_it(hub, folder):
    PROCESSOR.save_pretrained(folder)
    (folder / "README.md").write_text("my own words")
    for name in ("model.onnx", "extra/notes.txt", "checkpoints/step-1/x", ".a.part", "refused/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    result = push(folder, "me/model", "--private", "--json")
    assert result.exit_code == 0, result.exception
    names = [
        "README.md", "config.json", "extra/notes.txt", "model.onnx", "model.safetensors",
        "preprocessor_config.json",
    ]  # fmt: skip
    assert sorted(uploaded(hub)) == names
    assert hub.created[0]["visibility"] == "private"
    told = json.loads(result.stdout)
    assert (told["repository"], told["commit"], told["files"]) == ("me/model", COMMITS[1], names)


def test_a_folder_without_a_card_gets_one_on_the_hub_alone(hub, folder):
    assert push(folder, "me/model").exit_code == 0
    assert "README.md" in uploaded(hub)
    assert not (folder / "README.md").exists()


REFUSED = {
    "/repos/create": [(403, ""), (404, ""), (401, "RepoNotFound"), (500, "")],
    "/commit/": [(404, ""), (403, ""), (404, "RepoNotFound"), (404, "RevisionNotFound")],
    "/preupload/": [(404, ""), (404, "RevisionNotFound")],
}


@pytest.mark.parametrize(
    ("part", "answer"), [(part, answer) for part, answers in REFUSED.items() for answer in answers]
)
def test_a_refused_upload_is_told_in_one_sentence(hub, folder, part, answer, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.refusals[part] = answer
    error = push(folder, "me/model", "--revision", "v2").exception
    assert isinstance(error, MedicaneError)
    assert "\n" not in str(error)
    assert "me/model" in str(error)
    assert ("no branch 'v2'" in str(error)) == (answer[1] == "RevisionNotFound")


def test_a_hub_that_is_not_there_is_told_in_one_sentence(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    error = push(folder, "me/model").exception
    assert isinstance(error, OutputError)
    assert "cannot be uploaded to me/model" in str(error)


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


def test_what_cannot_be_a_repository_is_refused(hub, folder):
    assert isinstance(push(folder, "me/my/model").exception, ConfigurationError)


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
