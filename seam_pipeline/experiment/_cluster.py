"""What a step takes of a cluster's machine."""

from pydantic import Field

from ._base import Settings


class Resources(Settings):
    """CPUs, memory and GPUs of a step on a Ray or Kubernetes cluster."""

    cpu: float | None = Field(None, gt=0, description="CPU cores.")
    memory: str | None = Field(
        None,
        pattern=r"^[1-9]\d*(Mi|Gi|Ti)$",
        description="Memory, e.g. `64Gi`; more than that ends a step on Kubernetes.",
    )
    gpu: int = Field(0, ge=0, description="GPUs.")

    @property
    def memory_bytes(self) -> int | None:
        """`memory` as a number."""
        if self.memory is None:
            return None
        return int(self.memory[:-2]) * 1024 ** {"Mi": 2, "Gi": 3, "Ti": 4}[self.memory[-2:]]
