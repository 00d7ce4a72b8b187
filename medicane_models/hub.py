"""Where a model's files are: a local folder, the package itself, or the Hugging Face Hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MissingFileError,
    MissingModelError,
    OutputError,
)
from medicane_models.files import require_regular

__all__ = [
    "AIRMASS_DETECTOR",
    "AIRMASS_TRACKER",
    "DETECTOR",
    "TILE_DETECTOR",
    "TILE_TRACKER",
    "TRACKER",
    "WEIGHTS_NAME",
    "HubOptions",
    "Upload",
    "check_name",
    "embedded_models",
    "local_folder",
    "no_pointer",
    "resolve_file",
    "resolve_revision",
    "snapshot",
    "split_options",
    "upload",
]

WEIGHTS_NAME = "model.safetensors"

WEIGHT_SUFFIXES = (".onnx", ".safetensors", ".pth", ".pt", ".bin", ".ckpt")
"""Of files; no model on the Hub is meant by a name that ends so."""

DETECTOR, TRACKER = "medicane-ir-detector", "medicane-ir-tracker"
"""Embedded models that are used when none is named: they read the infrared window of any imager."""

AIRMASS_DETECTOR, AIRMASS_TRACKER = "medicane-airmass-detector", "medicane-airmass-tracker"
"""Those of the Airmass RGB, of its four channels or of its pictures, which hold no temperature."""

TILE_DETECTOR, TILE_TRACKER = "medicane-tiny-detector", "medicane-tiny-tracker"
"""Those of 16 Airmass frames of SEVIRI, 5 minutes apart, on the fixed tiles of the research."""

LEFT_OUT = ("checkpoints", "tensorboard", "refused")
"""Folders in a model's folder that are for going on with a run, or hold exports that failed."""

POINTER = b"version https://git-lfs.github.com/spec/"


class HubOptions(TypedDict, total=False):
    """Where to look for a model's files; all but ``subfolder`` concern the Hub alone.

    Attributes:
        revision: branch, tag or commit.
        token: None uses the stored one.
        cache_dir: where downloads are kept; None is huggingface_hub's default.
        local_files_only: look only at what is already on this machine.
        force_download: download again even if the cache has it.
        subfolder: folder inside the model's folder or repository.
    """

    revision: str | None
    token: str | bool | None
    cache_dir: str | Path | None
    local_files_only: bool
    force_download: bool
    subfolder: str


def split_options(options: Mapping[str, Any]) -> tuple[HubOptions, dict[str, Any]]:
    """Where to look, and the options that say something else."""
    names = HubOptions.__annotations__
    at = {name: value for name, value in options.items() if name in names}
    return cast("HubOptions", at), {k: v for k, v in options.items() if k not in names}


def embedded_models() -> dict[str, Path]:
    """Folders of the models that come with the package, by short name."""
    root = Path(str(resources.files("medicane_models"))) / "pretrained"
    return {path.name: path for path in sorted(root.iterdir()) if (path / "config.json").is_file()}


def resolve_file(id_or_dir: str | Path, filename: str, **hub_options: Unpack[HubOptions]) -> Path:
    """Local path of one file of a model, downloaded if it must be.

    A folder of that name comes first, then an embedded model, then the Hub.

    Args:
        id_or_dir: local folder, short name of an embedded model, or Hub id.
        filename: for example ``config.json``.
        **hub_options: where to look.

    Raises:
        MissingFileError: the model is there, the file is not.
        MissingModelError: there is no such model, or no such revision of it.
        ConfigurationError: an option is unknown, or a revision is given of what is not on the Hub.
        CheckpointError: the file cannot be had, or is a Git LFS pointer; the message says where it
            was looked for.
    """
    at, unknown = split_options(hub_options)
    if unknown:
        known = ", ".join(HubOptions.__annotations__)
        raise ConfigurationError(f"unknown option {', '.join(unknown)}; known are {known}")
    folder = local_folder(id_or_dir)
    if folder is not None:
        if (revision := at.get("revision")) is not None:
            raise ConfigurationError(
                f"revision is {revision!r} and {id_or_dir} is not on the Hub; leave it out"
            )
        return _file_in(folder / at.get("subfolder", ""), filename)
    check_name(id_or_dir)
    return _download(str(id_or_dir), filename, at)


def resolve_revision(id_or_dir: str | Path, **hub_options: Unpack[HubOptions]) -> str | None:
    """Commit hash of a Hub model for provenance; None for local folders and embedded models.

    Args:
        id_or_dir: as in `resolve_file`.
        **hub_options: where to look.
    """
    if local_folder(id_or_dir) is not None:
        return None
    return snapshot(resolve_file(id_or_dir, "config.json", **hub_options))


def snapshot(path: Path) -> str | None:
    """Commit hash of a file in the Hub's cache; None for files elsewhere."""
    parts = path.parts
    return parts[len(parts) - parts[::-1].index("snapshots")] if "snapshots" in parts else None


def local_folder(id_or_dir: str | Path) -> Path | None:
    """The folder of that name or of an embedded model; None for what is on the Hub."""
    if Path(id_or_dir).is_dir():
        return Path(id_or_dir)
    return embedded_models().get(str(id_or_dir))


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A commit that was made on the Hub.

    Attributes:
        repository: owner/name.
        commit: its hash.
        url: where it can be seen.
        files: names of what it holds.
    """

    repository: str
    commit: str
    url: str
    files: tuple[str, ...]


def upload(
    folder: str | Path,
    repo_id: str,
    *,
    token: str | bool | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str = "Upload model",
    texts: Mapping[str, str] | None = None,
) -> Upload:
    """Upload a model's folder with everything in it in one commit.

    Hidden files stay, and of a run's or an export's folder what is no result: LEFT_OUT.

    Args:
        folder: with a configuration, or the name of an embedded model.
        repo_id: owner/name; created if needed.
        token: Hub token; None uses the stored one.
        private: visibility of a repository that is created.
        revision: branch to commit to; it must exist.
        message: title of the commit.
        texts: further files by name.

    Raises:
        MissingModelError: the folder, its configuration or the branch is not there.
        ConfigurationError: the name cannot be one of a repository.
        OutputError: the Hub cannot be reached or does not allow it.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, errors

    files: dict[str, Any] = {path.as_posix(): at for path, at in _files_of(folder).items()}
    files |= {name: text.encode() for name, text in (texts or {}).items()}
    operations = [CommitOperationAdd(name, content) for name, content in sorted(files.items())]
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        made = api.create_commit(repo_id, operations, commit_message=message, revision=revision)
    except errors.HFValidationError as error:
        raise ConfigurationError(
            f"{repo_id} names no repository ({error}); give OWNER/NAME"
        ) from None
    except errors.RevisionNotFoundError:
        raise MissingModelError(
            f"{repo_id} has no branch {revision!r}; make it on the Hub, or leave --revision out"
        ) from None
    except (_http_error(), OSError, ValueError) as error:
        raise OutputError(
            f"{folder} cannot be uploaded to {repo_id} ({_first_line(error)}); look at the name "
            "and the connection, and log in by `hf auth login` with a token that may write there"
        ) from error
    return Upload(
        repository=repo_id, commit=made.oid, url=made.commit_url, files=tuple(sorted(files))
    )


def _http_error() -> type[Exception]:
    """Of the HTTP library that huggingface_hub has chosen, also where there is no answer."""
    from huggingface_hub import errors

    return errors.HTTPError  # pyright: ignore[reportPrivateImportUsage]


def _files_of(folder: str | Path) -> dict[Path, Path]:
    """What is uploaded of a folder, by the path in it."""
    place = local_folder(folder)
    if place is None:
        raise MissingModelError(f"{folder} is not a folder; give that of a model")
    _file_in(place, "config.json")
    inside = {path.relative_to(place): path for path in place.rglob("*") if path.is_file()}
    return {
        name: no_pointer(path)
        for name, path in inside.items()
        if name.parts[0] not in LEFT_OUT and not any(part.startswith(".") for part in name.parts)
    }


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__).rstrip(".")


def check_name(id_or_dir: str | Path) -> None:
    """Refuse a name that is neither of a folder, nor of an embedded model, nor like a Hub id.

    Raises:
        MissingModelError: naming what may be given.
    """
    name = str(id_or_dir)
    if local_folder(name) is None and (_looks_like_path(name) or name.endswith(WEIGHT_SUFFIXES)):
        raise MissingModelError(f"{name} is not a folder; {_choices()}")


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") != 1 or "\\" in name


def _choices() -> str:
    return f"give a folder, a Hub id (owner/name) or one of {', '.join(embedded_models())}"


def _file_in(folder: Path, filename: str) -> Path:
    path = folder / filename
    if not path.is_file():
        raise MissingFileError(f"{folder} holds no {filename}; is it a model's folder?")
    return no_pointer(path)


def no_pointer(path: Path) -> Path:
    """The path itself, of a file that Git LFS has fetched.

    Raises:
        CheckpointError: a pointer stands in its place, or it cannot be read.
    """
    try:
        require_regular(path)
        with path.open("rb") as file:
            beginning = file.read(len(POINTER))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if beginning == POINTER:
        raise CheckpointError(
            f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` there"
        )
    return path


def _download(repo_id: str, filename: str, at: HubOptions) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repo_id, filename, **at))
    except errors.RevisionNotFoundError:
        raise MissingModelError(
            f"{repo_id} has no revision {at.get('revision')!r}; see its history on the Hub"
        ) from None
    except errors.LocalEntryNotFoundError as error:
        if _is_known_absent(repo_id, filename, at):
            raise MissingFileError(f"{repo_id} on the Hub holds no {filename}") from None
        raise CheckpointError(
            f"{filename} of {repo_id} is not in the cache and cannot be downloaded "
            "(no connection, offline mode or local_files_only); connect once, or give a folder"
        ) from error
    except errors.EntryNotFoundError:
        raise MissingFileError(f"{repo_id} on the Hub holds no {filename}") from None
    except errors.RepositoryNotFoundError:
        raise MissingModelError(
            f"{repo_id} is not on the Hub, or needs a token; {_choices()}"
        ) from None
    except (_http_error(), OSError, ValueError) as error:
        raise CheckpointError(
            f"{filename} of {repo_id} cannot be downloaded ({_first_line(error)}); look at the "
            "name, the connection and HTTPS_PROXY, or give a folder"
        ) from error


def _is_known_absent(repo_id: str, filename: str, at: HubOptions) -> bool:
    """Whether the Hub was asked for a file before and had none."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    place = "/".join(filter(None, (at.get("subfolder"), filename)))
    found = try_to_load_from_cache(
        repo_id, place, cache_dir=at.get("cache_dir"), revision=at.get("revision")
    )
    return found is _CACHED_NO_EXIST
