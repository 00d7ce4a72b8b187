"""Headers of files that are not what they say, or never end."""

import os
import struct

import pytest

from medicane_models.diagnosis.headers import onnx_properties, tensor_shapes
from medicane_models.errors import CheckpointError


@pytest.mark.parametrize("content", [b"\0" * 1000, b"\xff" * 1000, b"\x0b", b"\x3a\xff\x01"])
def test_what_is_no_protocol_buffer_is_refused(content, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"m\.onnx is not a whole ONNX file"):
        onnx_properties(tmp_path / "m.onnx")


def test_zeros_behind_a_file_are_not_read_to_their_end(tmp_path):
    (tmp_path / "m.onnx").touch()
    os.truncate(tmp_path / "m.onnx", 2**40)
    with pytest.raises(CheckpointError, match="number 0"):
        onnx_properties(tmp_path / "m.onnx")


@pytest.mark.parametrize("header", [b"[]", b"{}1", b'{"a": 3}', b'{"a": {"dtype": "F32"}}', b"["])
def test_what_is_no_header_of_safetensors_is_refused(header, tmp_path):
    content = struct.pack("<Q", len(header)) + header
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is"):
        tensor_shapes(tmp_path)
