import numpy as np
import pandas as pd
import pytest
import torch
from engine_runs import ALONE, exchange, in_ranks, recorded
from torch import distributed as dist

from medicane_models.errors import ConfigurationError
from medicane_training import ranks
from medicane_training.ranks import Ranks, any_of, gathered, joined, mean, own_device, shared
from medicane_training.recipes.sections import EngineSettings

TORCHRUN = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "5",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "8",
    "PMIX_RANK": "5",
}
HYDRA = {"PMI_RANK": "5", "MPI_LOCALRANKID": "1", "PMI_SIZE": "8"}
SBATCH = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NODELIST": "gpu[03-05,9],login1",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}
SRUN = SBATCH | {
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "gpu[04-05]",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
SIXTH = Ranks(rank=5, local_rank=1, world_size=8)


@pytest.mark.parametrize(
    "environ",
    [
        TORCHRUN,
        OPEN_MPI,
        HYDRA,
        {"PMI_RANK": "5", "PMI_LOCAL_RANK": "1", "PMI_SIZE": "8"},
        {"PMIX_RANK": "5", "PMIX_LOCAL_RANK": "1", "PMIX_SIZE": "8"},
        SRUN,
        SRUN | {"PMI_RANK": "5", "PMI_SIZE": "8"},
        SRUN | {"PMIX_RANK": "5"},
        TORCHRUN | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"},
        OPEN_MPI | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"},
        HYDRA | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"},
    ],
    ids=lambda environ: "+".join(environ)[:60],
)
def test_every_launcher_is_understood(environ):
    assert Ranks.from_environment(environ) == SIXTH


@pytest.mark.parametrize(
    "environ",
    [{}, SBATCH, SBATCH | {"SLURM_STEP_ID": "4294967290"}, {"MASTER_ADDR": "node1"}],
    ids=["plain", "sbatch", "salloc", "address"],
)
def test_a_process_that_nothing_started_is_alone(environ):
    assert Ranks.from_environment(environ) == ALONE


@pytest.mark.parametrize(
    ("environ", "missing"),
    [(TORCHRUN, "LOCAL_RANK"), (OPEN_MPI, "OMPI_COMM_WORLD_SIZE"), (HYDRA, "MPI_LOCALRANKID")],
)
def test_a_half_set_environment_is_refused_by_name(environ, missing):
    rest = {name: value for name, value in environ.items() if name != missing}
    with pytest.raises(ConfigurationError, match=f"{missing} missing"):
        Ranks.from_environment(rest)


@pytest.mark.parametrize("changes", [{"RANK": "8"}, {"RANK": "0"}, {"WORLD_SIZE": "0"}])
def test_impossible_ranks_are_refused(changes):
    with pytest.raises(ConfigurationError, match="cannot be"):
        Ranks.from_environment(TORCHRUN | changes)


def test_a_rank_that_is_no_number_is_refused():
    with pytest.raises(ConfigurationError, match="RANK is 'a'"):
        Ranks.from_environment(TORCHRUN | {"RANK": "a"})


def test_only_rank_0_is_main():
    assert ALONE.is_main
    assert not SIXTH.is_main


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("gpu[03-05,9],login1", "gpu03"),
        ("node7", "node7"),
        ("a1,b[2-3]", "a1"),
        ("r[1-2]c[00-10]-ib,z", "r1c00-ib"),
    ],
)
def test_slurm_ranks_meet_on_the_first_host(hosts, first):
    environ = SRUN | {"SLURM_STEP_NODELIST": hosts}
    host, port = ranks._meeting_point(environ, SIXTH).split(":")
    assert host == first
    assert 15000 <= int(port) < 30000


def test_jobs_have_their_own_ports():
    points = {ranks._meeting_point(SRUN | {"SLURM_JOB_ID": str(job)}, SIXTH) for job in range(20)}
    assert len(points) == 20


def test_the_environment_says_where_to_meet():
    environ = SRUN | {"MASTER_ADDR": "head", "MASTER_PORT": "1234"}
    assert ranks._meeting_point(environ, SIXTH) == "head:1234"


def test_mpirun_on_one_host_needs_no_address():
    environ = OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "8"}
    assert ranks._meeting_point(environ, SIXTH).startswith("127.0.0.1:")


def test_mpirun_on_several_hosts_needs_an_address():
    environ = OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}
    with pytest.raises(ConfigurationError, match="export MASTER_ADDR"):
        ranks._meeting_point(environ, SIXTH)


def gpus(monkeypatch, count, visible=None):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


def test_each_local_rank_has_its_gpu(monkeypatch):
    gpus(monkeypatch, 2)
    assert own_device(EngineSettings(), SIXTH) == torch.device("cuda", 1)


def test_a_gpu_bound_to_the_task_is_the_first(monkeypatch):
    gpus(monkeypatch, 1, visible="3")
    assert own_device(EngineSettings(), SIXTH) == torch.device("cuda", 0)


def test_a_rank_without_a_gpu_is_refused(monkeypatch):
    gpus(monkeypatch, 1)
    with pytest.raises(ConfigurationError, match="torch finds 1 on this host"):
        own_device(EngineSettings(device="cuda"), SIXTH)


def test_an_absent_gpu_is_refused(monkeypatch):
    gpus(monkeypatch, 0)
    assert own_device(EngineSettings(), SIXTH).type == "cpu"
    with pytest.raises(ConfigurationError, match="finds no GPU"):
        own_device(EngineSettings(device="cuda"), ALONE)


def test_one_process_joins_no_group():
    with joined(EngineSettings(device="cpu")) as ranks:
        assert ranks == ALONE
        assert not dist.is_initialized()


def test_one_process_exchanges_nothing():
    table = pd.DataFrame({"clip": [3, 4]})
    assert mean({"loss": 2.5}, ALONE) == {"loss": 2.5}
    assert any_of(True, ALONE)
    assert not any_of(False, ALONE)
    assert gathered(table, ALONE) is table
    assert shared("name", ALONE) == "name"


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    in_ranks(2, exchange, folder)
    return folder


def test_two_ranks_mean(exchanged):
    for rank in (0, 1):
        assert recorded(exchanged, "mean", rank) == {"loss": 1.5, "rate": 0.1}


def test_two_ranks_agree_on_a_flag(exchanged):
    for rank in (0, 1):
        assert recorded(exchanged, "any", rank) == [False, True, True]


def test_rows_of_two_ranks_come_to_rank_0(exchanged):
    rows = recorded(exchanged, "gathered", 0)
    assert rows["clip"] == [0, 1, 10, 11]
    np.testing.assert_array_equal(rows["embedding"], [[0, 0], [0, 0], [1, 1], [1, 1]])
    assert recorded(exchanged, "gathered", 1) is None


def test_rank_0_shares_its_value(exchanged):
    for rank in (0, 1):
        assert recorded(exchanged, "shared", rank) == {"from": 0}


def test_the_group_is_gone_after_an_error():
    def fail():
        with joined(EngineSettings(backend="deepspeed", device="cpu")):
            raise KeyError(dist.get_world_size())

    with pytest.raises(KeyError, match="1"):
        fail()
    assert not dist.is_initialized()
