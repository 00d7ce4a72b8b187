"""The Hugging Face Hub on this machine, and a small model to put there."""

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from written_files import contents

from medicane_models.network.configuration import MedicaneConfig
from medicane_models.scenes.processing import MedicaneProcessor

SMALL = MedicaneConfig(
    image_size=32, num_frames=2, embed_dim=12, depth=1, num_heads=2, mlp_hidden_dim=24
)
PROCESSOR = MedicaneProcessor.airmass(tile_size=32, num_frames=2, max_missing=1)
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
        kept = commit, contents(folder)
        self.repositories.setdefault(name, {}).update({revision: kept, commit: kept})

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


def uploaded(hub):
    """Names and bytes of the files of the newest commit."""
    files = [line["value"] for line in hub.commits[-1] if line["key"] == "file"]
    return {file["path"]: base64.b64decode(file["content"]) for file in files}
