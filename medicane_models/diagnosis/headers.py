"""The beginnings of weight files: what they say of themselves, read without their tensors."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from medicane_models.errors import CheckpointError, MissingFileError
from medicane_models.files import parse_json, require_regular
from medicane_models.hub import WEIGHTS_NAME, HubOptions, resolve_file

__all__ = ["onnx_properties", "tensor_shapes"]

METADATA_PROPS = 14  # number of the field in ModelProto of onnx.proto
VARINT, DELIMITED = 0, 2
FIXED_BYTES = {1: 8, 5: 4}
LONGEST_VARINT = 63  # bits
HEADER_LIMIT = 100_000_000  # bytes; safetensors itself refuses longer headers


def tensor_shapes(
    source: str | Path, **hub_options: Unpack[HubOptions]
) -> list[tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of a model's weights; of a repository only that is fetched.

    Args:
        source: local folder, short name of an embedded model, or Hub id.
        **hub_options: where to look.

    Raises:
        MissingFileError: the model has no weights in safetensors.
        CheckpointError: they cannot be read.
    """
    try:
        at: HubOptions = {**hub_options, "local_files_only": True}
        path = resolve_file(source, WEIGHTS_NAME, **at)
    except MissingFileError:
        raise
    except CheckpointError:
        return _remote_header(str(source), **hub_options)
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if length > HEADER_LIMIT:
            raise CheckpointError(f"{path} is not a safetensors file; copy it again")
        values = parse_json(file.read(length), path)
    try:
        values.pop("__metadata__", None)
        return [(tensor["dtype"], tuple(tensor["shape"])) for tensor in values.values()]
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file ({error}); copy it again"
        ) from error


def _remote_header(
    repo_id: str, **hub_options: Unpack[HubOptions]
) -> list[tuple[str, tuple[int, ...]]]:
    from huggingface_hub import HfApi, errors

    try:
        found = HfApi(token=hub_options.get("token")).parse_safetensors_file_metadata(
            repo_id, WEIGHTS_NAME, revision=hub_options.get("revision")
        )
    except errors.EntryNotFoundError:
        raise MissingFileError(f"{repo_id} on the Hub holds no {WEIGHTS_NAME}") from None
    except (errors.HfHubHTTPError, errors.SafetensorsParsingError, OSError) as error:
        raise CheckpointError(f"{WEIGHTS_NAME} of {repo_id} cannot be read: {error}") from error
    return [(tensor.dtype, tuple(tensor.shape)) for tensor in found.tensors.values()]


def onnx_properties(path: Path) -> dict[str, str]:
    """``metadata_props`` of an ONNX file; graph and weights are passed over, not read.

    Raises:
        CheckpointError: it is not an ONNX file, or not all of it.
    """
    properties = {}
    try:
        require_regular(path)
        with path.open("rb") as file:
            for number, length in _fields(file, path.stat().st_size):
                if number == METADATA_PROPS:
                    entry = io.BytesIO(file.read(length))
                    key, value = (entry.read(size).decode() for _, size in _fields(entry, length))
                    properties[key] = value
                else:
                    file.seek(length, io.SEEK_CUR)
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole ONNX file ({error}); copy it again"
        ) from error
    return properties


def _fields(file: io.BufferedIOBase, size: int) -> Iterator[tuple[int, int]]:
    """Number and length of each field of a protocol buffer; the caller moves over its content.

    The encoding is described at https://protobuf.dev/programming-guides/encoding.
    """
    while file.tell() < size:
        number, wire = divmod(_varint(file), 8)
        if number == 0:
            raise ValueError("a field has the number 0")
        if wire == VARINT:
            _varint(file)
        elif wire in FIXED_BYTES:
            file.seek(FIXED_BYTES[wire], io.SEEK_CUR)
        elif wire == DELIMITED:
            length = _varint(file)
            if file.tell() + length > size:
                raise ValueError(f"field {number} ends behind the file")
            yield number, length
        else:
            raise ValueError(f"field {number} is of the unknown type {wire}")


def _varint(file: io.BufferedIOBase) -> int:
    value, shift, byte = 0, 0, 0x80
    while byte & 0x80:
        if shift > LONGEST_VARINT:
            raise ValueError("a number does not end")
        (byte,) = file.read(1)  # ValueError at the end of the file
        value |= (byte & 0x7F) << shift
        shift += 7
    return value
