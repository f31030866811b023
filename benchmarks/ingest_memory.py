"""Peak memory of ingesting a dump larger than memory ought to be.

Repeats a real `Posts.xml` with shifted ids up to a wanted size in a temporary folder, ingests it in a process of its
own and prints size, seconds and that process's peak resident memory. The file is deleted afterwards.

    python benchmarks/ingest_memory.py ../shared/data/stackexchange/beer_2020-05/Posts.xml --gigabytes 2
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

_IDS = re.compile(r'( (?:Id|ParentId|AcceptedAnswerId)=")(\d+)(?=")')
_CHILD = """
import json, sys, time
from seam_pipeline.data import ingest
start = time.perf_counter()
def progress(done, total):
    print(f"{done / total:6.1%} {time.perf_counter() - start:7.1f} s", file=sys.stderr, flush=True, end="\\r")
print(json.dumps(ingest([sys.argv[1]], sys.argv[2], progress=progress, memory=sys.argv[3])))
"""


class Measured(NamedTuple):
    """One ingest: seconds of wall clock and of CPU, peak resident MiB, and its summary."""

    seconds: float
    cpu: float
    peak_mib: float
    summary: dict


def repeat_dump(source: Path, target: Path, wanted_bytes: int) -> int:
    """Write the dump again and again with ids that do not collide; returns the size in bytes."""
    text = source.read_text("utf-8-sig")
    head, _, rest = text.partition("<posts>\n")
    parts = _IDS.split(rest.rpartition("</posts>")[0])  # text, prefix, id, text, prefix, id, ..., text
    ids = [int(number) for number in parts[2::3]]
    step = max(ids) + 1
    with target.open("w", encoding="utf-8") as file:
        file.write(head + "<posts>\n")
        for number in range(max(1, round(wanted_bytes / source.stat().st_size))):
            parts[2::3] = [str(value + number * step) for value in ids]
            file.writelines(parts)
        file.write("</posts>")
    return target.stat().st_size


def measure(posts: Path, out: Path, memory: str) -> Measured:
    """Ingest in a child process and read its peak from the kernel's account of it."""
    start = time.perf_counter()
    command = [sys.executable, "-c", _CHILD, str(posts), str(out), memory]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode:
        raise SystemExit(f"the ingest ended with status {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(
        time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20, json.loads(output)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a real Posts.xml")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the repeated dump, in 10^9 bytes")
    parser.add_argument("--memory", default="1GB", help="DuckDB's memory limit")
    parser.add_argument("--temp", type=Path, default=None, help="folder for the repeated dump and the output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.temp) as folder:
        posts = Path(folder) / "Posts.xml"
        size = repeat_dump(arguments.source, posts, int(arguments.gigabytes * 1e9))
        result = measure(posts, Path(folder) / "out", arguments.memory)
        written = sum(file.stat().st_size for file in (Path(folder) / "out").rglob("*") if file.is_file())
    read = result.summary["inputs"][0]["read"]
    print(f"\ninput        {size:,} bytes, {read['questions']:,} questions, {read['answers']:,} answers")
    print(f"kept         {result.summary['questions']:,} questions, {result.summary['answers']:,} answers")
    print(f"output       {written:,} bytes, {result.summary['pairs']:,} pairs")
    print(f"seconds      {result.seconds:.1f} of wall clock, {result.cpu:.1f} of CPU")
    print(f"peak memory  {result.peak_mib:,.0f} MiB resident (DuckDB limit {arguments.memory})")


if __name__ == "__main__":
    main()
