"""Where a model's files are: a local folder, the package itself, or the Hugging Face Hub."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

from medicane_models.errors import (
    CheckpointError,
    ConfigurationError,
    MissingFileError,
    MissingModelError,
)

__all__ = [
    "DETECTOR",
    "TRACKER",
    "WEIGHTS_NAME",
    "HubOptions",
    "check_name",
    "embedded_models",
    "local_folder",
    "no_pointer",
    "resolve_file",
    "resolve_revision",
    "snapshot",
    "split_options",
]

WEIGHTS_NAME = "model.safetensors"

WEIGHT_SUFFIXES = (".onnx", ".safetensors", ".pth", ".pt", ".bin", ".ckpt")
"""Of files; no model on the Hub is meant by a name that ends so."""

DETECTOR = "medicane-tiny-detector"
TRACKER = "medicane-tiny-tracker"
"""Embedded models that are used when none is named."""

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
        CheckpointError: a pointer stands in its place.
    """
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
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
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        raise CheckpointError(f"{filename} of {repo_id} cannot be downloaded: {error}") from error


def _is_known_absent(repo_id: str, filename: str, at: HubOptions) -> bool:
    """Whether the Hub was asked for a file before and had none."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    place = "/".join(filter(None, (at.get("subfolder"), filename)))
    found = try_to_load_from_cache(
        repo_id, place, cache_dir=at.get("cache_dir"), revision=at.get("revision")
    )
    return found is _CACHED_NO_EXIST
