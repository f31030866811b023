"""Candidate sets, scoring and selection."""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings

Variant = Literal["contrast", "llm", "adversarial"]
Method = Literal["full", "seam_gpt", "seam_contrast", "seam_adv", "random", "perplexity"]
Form = Literal["log", "prob", "mean_log", "mean_prob"]

VARIANT_OF_METHOD: dict[str, Variant] = {
    "seam_gpt": "llm",
    "seam_contrast": "contrast",
    "seam_adv": "adversarial",
}


class LLMEndpoint(Settings):
    """An OpenAI-compatible server. The key is read from the environment, never from this file."""

    base_url: str | None = Field(None, description="Server address; the client's default when absent.")
    model: str = Field(description="Model name sent with each request.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable that holds the key.")
    temperature: float = Field(0.0, ge=0, description="Sampling temperature.")
    max_tokens: int = Field(2048, ge=1, description="Longest reply.")
    concurrency: int = Field(8, ge=1, description="Requests in flight (speed only).")
    timeout_seconds: float = Field(120, gt=0, description="Per request.")
    retries: int = Field(5, ge=0, description="Attempts after the first on 429, 5xx and time-outs.")
    dollars_per_million_input: float | None = Field(None, ge=0, description="Price, for `seam plan`.")
    dollars_per_million_output: float | None = Field(None, ge=0, description="Price, for `seam plan`.")


class Contrast(Settings):
    """Golden responses of the nearest other instructions within a band of cosine similarity."""

    embedding: str = Field("minilm", description="`minilm` (embedded), a local folder or a hub id.")
    low: float = Field(0.8, ge=-1, le=1, description="Lower edge of the band, included.")
    high: float = Field(0.9, ge=-1, le=1, description="Upper edge of the band, included.")
    pool: Literal["sft", "all"] = Field("sft", description="Whose train-split answers are the pool.")
    max_pool: int | None = Field(None, ge=1, description="Use at most so many pool rows, by hash of the id.")

    @model_validator(mode="after")
    def _band(self) -> "Contrast":
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class LLMCandidates(Settings):
    """Worse answers written by a language model that sees the question and the golden answer."""

    generator: Literal["testbed", "openai"] = Field("testbed", description="The embedded generator, or a server.")
    endpoint: LLMEndpoint | None = Field(None, description="Needed by `openai`.")
    template: str | None = Field(None, description="Prompt template file instead of the shipped one.")

    @model_validator(mode="after")
    def _endpoint(self) -> "LLMCandidates":
        if self.generator == "openai" and self.endpoint is None:
            raise ValueError("generator openai needs an endpoint")
        return self


class Adversarial(Settings):
    """TextAttack recipes against the reward model, starting from the worse response."""

    recipes: tuple[Literal["pwws", "textfooler"], ...] = Field(("pwws",), description="Attacks to run.")
    max_queries: int = Field(200, ge=1, description="Reward-model queries per instruction and recipe.")
    max_restarts: int = Field(10, ge=1, description="Masked restarts used to reach n distinct texts.")


class Candidates(Settings):
    """The sample set X of each RL instruction; an absent variant is not computed."""

    n: int = Field(30, ge=1, description="Candidates wanted per instruction and variant.")
    contrast: Contrast | None = Field(Contrast(), description="Contrast set.")
    llm: LLMCandidates | None = Field(LLMCandidates(), description="LLM-written set.")
    adversarial: Adversarial | None = Field(Adversarial(), description="Adversarial set.")

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Variants that are switched on, in the study's order."""
        named = (("contrast", self.contrast), ("llm", self.llm), ("adversarial", self.adversarial))
        return tuple(name for name, on in named if on is not None)  # type: ignore[misc]


class Scoring(Settings):
    """What is measured on the candidates; `tokens_per_batch` changes speed only."""

    form: Form = Field("log", description="Form of the score that selection uses.")
    max_prompt_tokens: int | None = Field(None, ge=1, description="Longer prompts are cut from the left, recorded.")
    max_response_tokens: int | None = Field(128, ge=1, description="Longer responses are cut; their end token goes.")
    tokens_per_batch: int = Field(8192, ge=64, description="Token budget of a forward pass (speed only).")


class Selection(Settings):
    """Which RL instructions are filtered out."""

    rate: float = Field(0.2, gt=0, lt=1, description="Share of the RL train instructions that is filtered out.")
    seed: int = Field(0, description="Seed of the random method.")
