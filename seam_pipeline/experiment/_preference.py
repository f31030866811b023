"""Fig. 4: two policies answer the RL instructions; does the reward model prefer what people prefer?"""

from pydantic import Field

from ._base import Settings


class Preference(Settings):
    """Fig. 4: two policies answer the RL instructions; does the reward model prefer what people prefer?"""

    policies: tuple[int, int] = Field((1, 5), description="Ranks of the two policies.")
    reward: int = Field(1, ge=1, description="Rank of the reward model.")
