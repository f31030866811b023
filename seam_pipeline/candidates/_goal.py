"""What the attacks want: a reward above the golden response's."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from ._rewards import RewardQueries
from ._textattack import AttackedText, GoalFunction, GoalFunctionResult


class BeatsGolden(GoalFunction):
    """Scalar-reward goal: score = softsign(R(I, text) - R(I, golden)), above 0 is a success.

    Never stops a search early (its results are "maximizing"), so that a walk past its first success gives more texts;
    the budget counts texts that the reward model really reads.
    """

    def __init__(self) -> None:
        # Not the base's __init__: it looks the model's class up in a list of classifiers and warns on each run.
        self.model, self.maximizable, self.use_cache, self.allow_skip = None, True, False, False
        self.query_budget = float("inf")

    def start(self, rewards: RewardQueries, golden_reward: float, budget: int) -> None:
        """Begin a new instruction."""
        self.rewards, self.golden_reward = rewards, golden_reward
        self.last_query = rewards.count + budget
        self.successes: dict[str, AttackedText] = {}
        self._broken: set[str] = set()

    @property
    def num_queries(self) -> int:
        """Texts read for this instruction so far, where TextAttack asks for it."""
        return self.rewards.count

    @property
    def queries_left(self) -> int:
        """Reward-model queries that the budget still allows."""
        return max(0, self.last_query - self.rewards.count)

    @property
    def broken(self) -> int:
        """Texts of this instruction whose reward was not finite."""
        return len(self._broken)

    def get_results(self, attacked_text_list: Sequence[Any], check_skip: bool = False) -> tuple[list[Any], bool]:
        """Results of the texts that fit the budget, and whether it is spent; swaps that succeed are kept."""
        texts = self._affordable(attacked_text_list)
        values = self.rewards([t.text for t in texts])
        results = []
        for text, value in zip(texts, values, strict=True):
            if not isfinite(value):
                self._broken.add(text.text)
            elif value > self.golden_reward and "last_transformation" in text.attack_attrs:
                self.successes.setdefault(text.text, text)
            results.append(self._result(text, value))
        return results, len(texts) < len(attacked_text_list) or self.queries_left == 0

    def score(self, reward: float) -> float:
        """Softsign of the distance to the golden reward; -1 for a reward that is not finite."""
        gap = reward - self.golden_reward
        return gap / (1 + abs(gap)) if isfinite(gap) else -1.0

    def _affordable(self, texts: Sequence[Any]) -> list[Any]:
        left, chosen, fresh = self.queries_left, [], set()
        for text in texts:
            if not self.rewards.known(text.text):
                fresh.add(text.text)
            if len(fresh) > left:
                break
            chosen.append(text)
        return chosen

    def _result(self, text: Any, reward: float) -> Any:
        status = self._get_goal_status(reward, text)
        return GoalResult(text, reward, reward, status, self.score(reward), self.rewards.count, self.golden_reward)

    def _is_goal_complete(self, model_output: float, attacked_text: Any) -> bool:
        return model_output > self.golden_reward

    def _get_score(self, model_output: float, attacked_text: Any) -> float:
        return self.score(model_output)

    def _process_model_outputs(self, inputs: Any, outputs: Any) -> Any:
        return outputs

    def _goal_function_result_type(self) -> type:
        return GoalResult


class GoalResult(GoalFunctionResult):
    """One text with its reward."""

    def get_text_color_input(self) -> str:
        """Colour of the text before the attack, where TextAttack prints."""
        return "red"

    def get_text_color_perturbed(self) -> str:
        """Colour of the text after the attack, where TextAttack prints."""
        return "blue"

    def get_colored_output(self, color_method: str | None = None) -> str:
        """The reward as text."""
        return f"{self.raw_output:.4f}"
