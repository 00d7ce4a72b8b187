"""Where a model's files are: a local folder, the package itself, or the Hugging Face Hub."""

from importlib import resources
from pathlib import Path
from typing import Any

from medicane_models.errors import CheckpointError, MissingFileError

__all__ = [
    "DETECTOR",
    "TRACKER",
    "embedded_models",
    "local_folder",
    "no_pointer",
    "resolve_file",
    "resolve_revision",
    "snapshot",
]


DETECTOR = "medicane-tiny-detector"
TRACKER = "medicane-tiny-tracker"
"""Embedded models that are used when none is named."""

POINTER = b"version https://git-lfs.github.com/spec/"


def embedded_models() -> dict[str, Path]:
    """Folders of the models that come with the package, by short name."""
    root = Path(str(resources.files("medicane_models"))) / "pretrained"
    return {path.name: path for path in sorted(root.iterdir()) if (path / "config.json").is_file()}


def resolve_file(
    id_or_dir: str | Path,
    filename: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    subfolder: str = "",
) -> Path:
    """Local path of one file of a model, downloaded if it must be.

    A folder of that name comes first, then an embedded model, then the Hub.

    Args:
        id_or_dir: local folder, short name of an embedded model, or Hub id.
        filename: for example ``config.json``.
        revision: branch, tag or commit on the Hub.
        token: Hub token; None uses the stored one.
        cache_dir: where downloads are kept; None is huggingface_hub's default.
        local_files_only: look only at what is already on this machine.
        force_download: download again even if the cache has it.
        subfolder: folder inside the model's folder or repository.

    Raises:
        MissingFileError: the model is there, the file is not.
        CheckpointError: the file cannot be had, or is a Git LFS pointer; the message says where
            it was looked for.
    """
    folder = local_folder(id_or_dir)
    if folder is not None:
        return _file_in(folder / subfolder, filename)
    if _looks_like_path(str(id_or_dir)):
        raise CheckpointError(f"{id_or_dir} is not a folder; {_choices()}")
    return _download(
        str(id_or_dir),
        filename,
        revision=revision,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        force_download=force_download,
        subfolder=subfolder or None,
    )


def resolve_revision(id_or_dir: str | Path, **options: Any) -> str | None:
    """Commit hash of a Hub model for provenance; None for local folders and embedded models.

    Args:
        id_or_dir: as in `resolve_file`.
        options: as in `resolve_file`.
    """
    if local_folder(id_or_dir) is not None:
        return None
    return snapshot(resolve_file(id_or_dir, "config.json", **options))


def snapshot(path: Path) -> str | None:
    """Commit hash of a file in the Hub's cache; None for files elsewhere."""
    parts = path.parts
    return parts[len(parts) - parts[::-1].index("snapshots")] if "snapshots" in parts else None


def local_folder(id_or_dir: str | Path) -> Path | None:
    """The folder of that name or of an embedded model; None for what is on the Hub."""
    if Path(id_or_dir).is_dir():
        return Path(id_or_dir)
    return embedded_models().get(str(id_or_dir))


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


def _download(repo_id: str, filename: str, **options: Any) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(repo_id, filename, **options))
    except errors.RevisionNotFoundError:
        raise CheckpointError(
            f"{repo_id} has no revision {options['revision']!r}; see its history on the Hub"
        ) from None
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{filename} of {repo_id} is not in the cache and cannot be downloaded "
            "(no connection, offline mode or local_files_only); connect once, or give a folder"
        ) from error
    except errors.EntryNotFoundError:
        raise MissingFileError(f"{repo_id} on the Hub holds no {filename}") from None
    except errors.RepositoryNotFoundError:
        raise CheckpointError(
            f"{repo_id} is not on the Hub, or needs a token; {_choices()}"
        ) from None
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        raise CheckpointError(f"{filename} of {repo_id} cannot be downloaded: {error}") from error
