import json

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from medicane_models.network import kernels
from medicane_models.network import routes as module
from medicane_models.network.kernels import linear, linear_gelu
from medicane_models.network.routes import Routes, measured_routes, routes_here

ALL = Routes(product=True, turned=True, gelu=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where choices are kept, empty, and nothing remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "SHAPE", (4, 8, 8))
    routes_here.cache_clear()
    yield tmp_path / "medicane-models"
    routes_here.cache_clear()


def test_the_faster_library_is_chosen(monkeypatch):
    def slow(*given):
        for _ in range(40):
            F.linear(*given[:3])
        return F.linear(*given[:3])

    monkeypatch.setattr(module, "onednn", slow)
    assert measured_routes(torch.get_num_threads()) == Routes()


def absent(*_):
    raise AttributeError


def wrong(*given):
    return F.linear(*given[:3]) + 1


@pytest.mark.parametrize("operator", [absent, wrong])
def test_an_operator_that_is_absent_or_wrong_is_not_used(operator, monkeypatch):
    monkeypatch.setattr(module, "onednn", operator)
    monkeypatch.setattr(module, "CLEARLY", float("inf"))
    assert measured_routes(torch.get_num_threads()) == Routes()


def test_a_right_operator_is_used_where_it_is_faster(monkeypatch):
    monkeypatch.setattr(module, "CLEARLY", float("inf"))
    assert measured_routes(torch.get_num_threads()) == ALL


def test_a_choice_is_measured_once_and_kept(folder, monkeypatch):
    chosen = routes_here(1)
    monkeypatch.setattr(module, "measured_routes", absent)
    routes_here.cache_clear()
    assert routes_here(1) == chosen
    assert len(list(folder.iterdir())) == 1


def test_the_first_of_two_processes_has_chosen_for_both(folder, monkeypatch):
    def late(threads):
        module._path(threads).parent.mkdir(parents=True)
        module._path(threads).write_text(json.dumps({"gelu": True}))
        return ALL

    monkeypatch.setattr(module, "measured_routes", late)
    assert routes_here(1) == Routes(gelu=True)


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"other": 1}'])
def test_a_damaged_choice_is_measured_again(kept, folder, monkeypatch):
    monkeypatch.setattr(module, "measured_routes", lambda threads: ALL)
    folder.mkdir()
    module._path(1).write_text(kept)
    assert routes_here(1) == ALL


def test_a_cache_that_cannot_be_written_is_done_without(folder, monkeypatch):
    monkeypatch.setattr(module, "measured_routes", lambda threads: ALL)
    folder.write_text("a file where the folder should be")
    assert routes_here(1) == ALL


def test_processors_limits_and_threads_choose_apart(folder, monkeypatch):
    paths = {module._path(1), module._path(2)}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert len(paths | {module._path(1)}) == 3


def test_small_matrices_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(kernels, "routes_here", absent)
    x, weight = torch.randn(2, 4, 8), torch.randn(8, 8)
    assert torch.equal(linear(x, weight, None), F.linear(x, weight))
    assert torch.equal(linear_gelu(x, weight, None), F.gelu(F.linear(x, weight)))


def test_modes_of_the_caller_do_not_reach_the_measurement(folder):
    with torch.device("meta"), torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
        assert isinstance(routes_here(1), Routes)


def test_compilers_do_not_see_the_size_at_which_it_pays(monkeypatch):
    monkeypatch.setattr(kernels, "routes_here", absent)

    class Map(torch.nn.Module):
        def forward(self, x):
            return linear(x, torch.ones(512, 768), None)

    batch = torch.export.Dim("batch")
    x = torch.ones(3, 40, 768)  # either side of the size
    made = torch.export.export(Map(), (x,), dynamic_shapes=({0: batch},))
    assert made.module()(x[:2]).shape == (2, 40, 512)
