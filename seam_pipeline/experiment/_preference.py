"""Fig. 4 and 5: two policies answer the RL instructions; does the reward model prefer what people prefer?"""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings


class Preference(Settings):
    """Fig. 4 and 5: two policies answer the RL instructions; does the reward model prefer what people prefer?"""

    policies: tuple[int, int] = Field((1, 5), description="Ranks of the two policies.")
    reward: int = Field(1, ge=1, description="Rank of the reward model of Fig. 4; Fig. 5 takes each cell's own.")
    questions: int = Field(1000, ge=1, description="RL train instructions (the first by hash of the id).")
    source: Literal["gold", "judge", "annotations"] = Field(
        "judge",
        description="Whose preference: `gold`, the testbed's truth; `judge`, a judge LLM asked in both orders, or the "
        "ratings of another kind of judge; `annotations`, people's (`seam annotate`).",
    )
    annotations: str | None = Field(None, description="File of `seam annotate` or its CSV, for source annotations.")
    template: str | None = Field(None, description="Prompt file for pairs instead of the shipped one.")

    @model_validator(mode="after")
    def _possible(self) -> "Preference":
        first, second = self.policies
        if first == second or min(self.policies) < 1:
            raise ValueError("policies must be two different ranks, from 1 up")
        if (self.source == "annotations") != (self.annotations is not None):
            raise ValueError("source annotations and the file `annotations` belong together; give both or neither")
        return self
