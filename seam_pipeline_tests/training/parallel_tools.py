"""Jobs in one process, and in real processes over gloo on this machine."""

import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

from seam_pipeline.defs._job import Job, Surroundings, read_job, run_job, write_job
from seam_pipeline.errors import SeamError
from seam_pipeline.progress import Progress, silent
from seam_pipeline.training.watch import unwatched

CONTEXT = multiprocessing.get_context("forkserver")  # the libraries are imported once, in the server
CONTEXT.set_forkserver_preload(["seam_pipeline.training.group", "seam_pipeline.training.dpo", __name__])


def alone(job: Job, report: Progress = silent) -> None:
    run_job(job, "cpu", report, unwatched)


def together(job: Job, folder: Path, processes: int = 2, die_at: int | None = None, fsdp: bool = False) -> list[int]:
    """Run a job in several processes; returns their exit codes. `die_at`: process 0 kills itself at that step."""
    file = write_job(job, Surroundings("cpu", 1), folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = [CONTEXT.Process(target=_work, args=(file, r, processes, port, die_at, fsdp)) for r in range(processes)]
    for worker in workers:
        worker.start()
    _wait(workers)
    return [worker.exitcode for worker in workers]


def errors(folder: Path) -> list[str]:
    return [file.read_text() for file in sorted(folder.glob("error.*"))]


def _wait(workers) -> None:
    """Until all have ended; one that fails takes the others with it a little later."""
    until = time.monotonic() + 120
    while any(worker.is_alive() for worker in workers):
        if any(worker.exitcode for worker in workers):
            until = min(until, time.monotonic() + 5)
        if time.monotonic() > until:
            for worker in workers:
                worker.kill()
        time.sleep(0.02)
    for worker in workers:
        worker.join()


def _work(file: Path, rank: int, world: int, port: int, die_at: int | None, fsdp: bool) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    divided: list[object] = []
    if fsdp:
        os.environ["ACCELERATE_USE_FSDP"] = "true"
        _note_divided(divided)
    seen: list[int] = []

    def report(done: int, total: int) -> None:
        seen.append(done)
        if done == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    import torch

    torch.set_num_threads(1)
    job, _ = read_job(file)
    try:
        run_job(job, "cpu", report, unwatched)
    except SeamError as error:
        file.with_name(f"error.{rank}").write_text(str(error))
        until = time.monotonic() + 10  # the others may still be meeting this process
        while len(errors(file.parent)) < world and time.monotonic() < until:
            time.sleep(0.05)
        os._exit(2)
    file.with_name(f"divided.{rank}").write_text(str(len(divided)))
    file.with_name(f"steps.{rank}").write_text(" ".join(map(str, seen)))
    torch.distributed.destroy_process_group()


def _note_divided(seen: list[object]) -> None:
    from torch.distributed import fsdp

    library = fsdp.fully_shard

    def noted(module, **more):
        seen.append(module)
        return library(module, **more)

    fsdp.fully_shard = noted
