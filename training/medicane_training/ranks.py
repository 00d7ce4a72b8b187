"""Processes of a run: who they are, how they meet, and the little they tell each other.

What a step exchanges is the engines' business; everything here is small and travels over the CPU.
"""

import ctypes
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor
from torch import distributed as dist

from medicane_models.errors import ConfigurationError
from medicane_training.recipes.sections import EngineSettings

__all__ = [
    "Ranks",
    "any_of",
    "average",
    "barrier",
    "gathered",
    "joined",
    "keep_freed_memory",
    "mean",
    "own_device",
    "shared",
]

Environment = Mapping[str, str]
V = TypeVar("V")

PATIENCE = timedelta(hours=1)
"""How long a rank waits for the others, for example while rank 0 judges and draws."""

FIRST_PORT, PORTS = 15000, 15000
"""Ports derived from a job's number lie under those that the system deals out by itself."""


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """The variables by which a launcher tells a process who it is."""

    name: str
    rank: str
    local_rank: tuple[str, ...]
    world_size: str


TORCHRUN = Launcher(
    name="torchrun", rank="RANK", local_rank=("LOCAL_RANK",), world_size="WORLD_SIZE"
)
SRUN = Launcher(
    name="srun",
    rank="SLURM_PROCID",
    local_rank=("SLURM_LOCALID",),
    world_size="SLURM_STEP_NUM_TASKS",
)
OPEN_MPI = Launcher(
    name="Open MPI",
    rank="OMPI_COMM_WORLD_RANK",
    local_rank=("OMPI_COMM_WORLD_LOCAL_RANK",),
    world_size="OMPI_COMM_WORLD_SIZE",
)
PMI = Launcher(
    name="mpirun (PMI)",
    rank="PMI_RANK",
    local_rank=("MPI_LOCALRANKID", "PMI_LOCAL_RANK"),
    world_size="PMI_SIZE",
)
PMIX = Launcher(
    name="mpirun (PMIx)",
    rank="PMIX_RANK",
    local_rank=("PMIX_LOCAL_RANK", "MPI_LOCALRANKID"),
    world_size="PMIX_SIZE",
)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which of the run's processes this one is.

    Attributes:
        rank: from 0, over all hosts.
        local_rank: from 0, on this host.
        world_size: number of processes.
    """

    rank: int
    local_rank: int
    world_size: int

    @property
    def is_main(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    @classmethod
    def from_environment(cls, environ: Environment = os.environ) -> "Ranks":
        """What torchrun, mpirun or srun says; a process that none of them started is alone.

        torchrun comes first, since it may run inside the others, and srun last, since mpirun starts
        its own daemons with it. The shell of an sbatch script or of salloc is alone, however many
        tasks the job has: only srun makes them.

        Raises:
            ConfigurationError: some of a launcher's variables are missing or not whole numbers.
        """
        launcher = _launcher(environ)
        if launcher is None:
            return cls(rank=0, local_rank=0, world_size=1)
        local_rank = next((name for name in launcher.local_rank if name in environ), None)
        names = (launcher.rank, local_rank or launcher.local_rank[0], launcher.world_size)
        if missing := [name for name in names if name not in environ]:
            raise ConfigurationError(
                f"the environment is half set for {launcher.name}: {', '.join(missing)} "
                f"missing beside {', '.join(name for name in names if name in environ)}; start all "
                "processes with torchrun, mpirun or srun, or unset the rest for a single one"
            )
        rank, local, world_size = (_whole(environ, name) for name in names)
        if not (0 <= local <= rank < world_size):
            raise ConfigurationError(
                f"{names[0]} is {rank}, {names[1]} {local} and {names[2]} {world_size}, which "
                "cannot be; unset what an earlier launcher has left"
            )
        return cls(rank=rank, local_rank=local, world_size=world_size)


def _launcher(environ: Environment) -> Launcher | None:
    if {"RANK", "LOCAL_RANK", "WORLD_SIZE"} & environ.keys():
        return TORCHRUN
    if {OPEN_MPI.rank, OPEN_MPI.world_size} & environ.keys():
        return OPEN_MPI
    in_step = _in_slurm_step(environ)
    for launcher in (PMI, PMIX):
        told = {launcher.rank, launcher.world_size} & environ.keys()
        # srun --mpi=pmi2 or pmix sets some of these beside its own, which are complete
        if told and not (in_step and not set(launcher.local_rank) & environ.keys()):
            return launcher
    return SRUN if in_step else None


def _in_slurm_step(environ: Environment) -> bool:
    """Whether srun started this process; sbatch and salloc number their shells from the top."""
    step = environ.get("SLURM_STEP_ID", environ.get("SLURM_STEPID", ""))
    return step.isdecimal() and int(step) < 0xFFFF0000


def _whole(environ: Environment, name: str) -> int:
    try:
        return int(environ[name])
    except ValueError:
        raise ConfigurationError(
            f"the variable {name} is {environ[name]!r}; it must be a whole number"
        ) from None


@contextmanager
def joined(settings: EngineSettings) -> Iterator[Ranks]:
    """Prepare the process, meet the others of the run, and part from them, also after an error.

    Raises:
        ConfigurationError: the device is absent, or it is not known where to meet.
    """
    ranks = Ranks.from_environment()
    device = own_device(settings, ranks)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    else:
        keep_freed_memory()
    if ranks.world_size == 1 and settings.backend == "ddp":
        yield ranks
        return
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method=f"tcp://{_meeting_point(os.environ, ranks)}",
        rank=ranks.rank,
        world_size=ranks.world_size,
        timeout=PATIENCE,
    )
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def own_device(settings: EngineSettings, ranks: Ranks) -> torch.device:
    """This rank's GPU, or the CPU.

    Raises:
        ConfigurationError: a GPU is asked for, and this rank has none.
    """
    count = torch.cuda.device_count()
    if settings.device == "cpu" or (settings.device == "auto" and count == 0):
        return torch.device("cpu")
    if count == 0:
        raise ConfigurationError(
            f"engine.device is cuda, but torch {torch.__version__} (built for CUDA "
            f"{torch.version.cuda}) finds no GPU; check the driver with nvidia-smi, or set "
            "engine.device to cpu"
        )
    # a scheduler that binds GPUs to tasks shows each process its own one only
    index = 0 if count == 1 and "CUDA_VISIBLE_DEVICES" in os.environ else ranks.local_rank
    if index >= count:
        raise ConfigurationError(
            f"local rank {ranks.local_rank} has no GPU, since torch finds {count} on this host; "
            f"start {count} processes a host, or set engine.device to cpu"
        )
    return torch.device("cuda", index)


def _meeting_point(environ: Environment, ranks: Ranks) -> str:
    """Host and port where rank 0 listens.

    Raises:
        ConfigurationError: the launcher does not say, and rank 0 may be on another host.
    """
    host, port = environ.get("MASTER_ADDR"), environ.get("MASTER_PORT")
    launcher = _launcher(environ)
    if launcher is None:
        return "127.0.0.1:0"
    if host is None and launcher is SRUN:
        host = _first_host(environ)
    if host is None and _all_here(environ, ranks):
        host = "127.0.0.1"
    if host is None:
        raise ConfigurationError(
            f"MASTER_ADDR is not set, and {launcher.name} does not say on which host rank 0 runs; "
            "export MASTER_ADDR=HOST of rank 0, with mpirun -x MASTER_ADDR (or -genv)"
        )
    return f"{host}:{port or _derived_port(environ)}"


def _first_host(environ: Environment) -> str | None:
    """Of a list such as ``gpu[03-05,9],login1``: gpu03."""
    hosts = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST")
    if not hosts:
        return None
    first = re.split(r",(?![^\[]*\])", hosts)[0]
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", first)


def _all_here(environ: Environment, ranks: Ranks) -> bool:
    names = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMI_LOCAL_SIZE")
    local_sizes = [int(environ[name]) for name in names if name in environ]
    return ranks.world_size in (1, *local_sizes)


def _derived_port(environ: Environment) -> int:
    """A port that all processes of a job or step derive alike, and others most likely not."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PMIX_NAMESPACE", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
    known = [environ[name] for name in names if name in environ]
    return FIRST_PORT + zlib.crc32(" ".join(known).encode()) % PORTS


def mean(values: dict[str, float], ranks: Ranks) -> dict[str, float]:
    """Of each value over the ranks, each of which has the same names."""
    if ranks.world_size == 1:
        return dict(values)
    numbers = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(numbers)
    return dict(zip(values, (numbers / ranks.world_size).tolist(), strict=True))


def average(tensors: Sequence[Tensor], ranks: Ranks) -> None:
    """Put the mean over the ranks in the place of tensors of which each rank has its own."""
    if ranks.world_size == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    means = (flat / ranks.world_size).split([tensor.numel() for tensor in tensors])
    for tensor, over_ranks in zip(tensors, means, strict=True):
        tensor.copy_(over_ranks.view_as(tensor))


def any_of(flag: bool, ranks: Ranks) -> bool:
    """Whether it is true on any rank."""
    if ranks.world_size == 1:
        return flag
    raised = torch.tensor(int(flag))
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised)


def gathered(table: pd.DataFrame, ranks: Ranks) -> pd.DataFrame | None:
    """The rows of all ranks on rank 0, rank by rank; None on the others."""
    if ranks.world_size == 1:
        return table
    tables: list[Any] | None = [None] * ranks.world_size if ranks.is_main else None
    dist.gather_object(table, tables)
    return None if tables is None else pd.concat(tables, ignore_index=True)


def shared(value: V, ranks: Ranks) -> V:
    """Rank 0's value, on all ranks."""
    if ranks.world_size == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def barrier(ranks: Ranks) -> None:
    """Wait until all ranks are here."""
    any_of(False, ranks)


# malloc.h of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the C library keep what large tensors free, for the tensors of the next step.

    glibc hands every block above 32 MiB back to the kernel and gets it again page by page, zeroed;
    where that is slow, as in virtual machines, it takes much of a training step. Other C libraries
    are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
