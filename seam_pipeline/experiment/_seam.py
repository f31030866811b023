"""Candidate sets, scoring and selection."""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings

Variant = Literal["contrast", "llm", "adversarial"]
Method = Literal[
    "full",
    "seam_gpt",
    "seam_contrast",
    "seam_adv",
    "random",
    "perplexity",
    "reward",
    "length",
    "reward_variance",
    "pre_ppo",
    "pf_ppo",
    "margin_gap",
    "matched",
    "matched_random",
]
MATCHED: tuple[Method, ...] = ("matched", "matched_random")
"""Fig. 5: what a preference of two policies' answers keeps, and as many at random (`findings.preference`)."""
Form = Literal["log", "prob", "mean_log", "mean_prob"]

VARIANT_OF_METHOD: dict[str, Variant] = {
    "seam_gpt": "llm",
    "seam_contrast": "contrast",
    "seam_adv": "adversarial",
}


class LLMEndpoint(Settings):
    """An OpenAI-compatible server. The key comes from the environment or a file of its own, never from this file."""

    base_url: str | None = Field(None, description="Server address; the client's default when absent.")
    model: str = Field(description="Model name sent with each request.")
    api_key_env: str = Field(
        "OPENAI_API_KEY",
        description="Environment variable that holds the key; with `_FILE` appended, one that names the key's file.",
    )
    api_key_file: str | None = Field(None, description="File that holds the key, read when no variable is set.")
    mode: Literal["direct", "batch"] = Field(
        "direct", description="One request per row, or the Batch API: results within a day, at `batch_price`."
    )
    temperature: float | None = Field(0.0, ge=0, description="Sampling temperature; null leaves it to the server.")
    max_tokens: int = Field(2048, ge=1, description="Longest reply.")
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls it; OpenAI's reasoning models want the second name."
    )
    concurrency: int = Field(8, ge=1, description="Requests in flight (speed only).")
    timeout_seconds: float = Field(120, gt=0, description="Per request.")
    retries: int = Field(5, ge=0, description="Attempts after the first on 429, 5xx and time-outs.")
    poll_seconds: float = Field(60, gt=0, description="Between two looks at a batch (speed only).")
    max_tokens_total: int | None = Field(
        None, ge=1, description="Budget: prompt and reply tokens that this study may use here, over all runs."
    )
    max_dollars: float | None = Field(None, gt=0, description="Budget in dollars, over all runs; needs both prices.")
    dollars_per_million_input: float | None = Field(None, ge=0, description="Price in direct mode.")
    dollars_per_million_output: float | None = Field(None, ge=0, description="Price in direct mode.")
    batch_price: float = Field(0.5, ge=0, description="Price in batch mode as a share of the direct one.")

    @model_validator(mode="after")
    def _possible(self) -> "LLMEndpoint":
        if self.max_dollars is not None and self.dollars(0, 0) is None:
            raise ValueError("max_dollars needs dollars_per_million_input and dollars_per_million_output")
        if self.base_url is not None and "@" in self.base_url.split("://")[-1].split("/")[0]:
            raise ValueError("base_url must not hold a user name or password; use api_key_env or api_key_file")
        return self

    def dollars(self, prompt_tokens: float, completion_tokens: float, mode: str | None = None) -> float | None:
        """Price of tokens in a mode (this endpoint's own by default); None where a price is not given."""
        if self.dollars_per_million_input is None or self.dollars_per_million_output is None:
            return None
        share = self.batch_price if (mode or self.mode) == "batch" else 1.0
        million = prompt_tokens * self.dollars_per_million_input + completion_tokens * self.dollars_per_million_output
        return share * million / 1e6


class Contrast(Settings):
    """Golden responses of the nearest other instructions within a band of cosine similarity."""

    embedding: str = Field("minilm", description="`minilm` (embedded), a local folder or a hub id.")
    pooling: Literal["auto", "mean", "cls", "pooler"] = Field(
        "auto",
        description="How token vectors become one: `auto` is the model's own way, else SimCSE's for a name with "
        "`simcse`, else the mean; `pooler` is the first token's through the checkpoint's pooler.",
    )
    low: float = Field(0.8, ge=-1, le=1, description="Lower edge of the band, included.")
    high: float = Field(0.9, ge=-1, le=1, description="Upper edge of the band, included.")
    pool: Literal["sft", "all"] = Field("sft", description="Whose train-split answers are the pool.")
    max_pool: int | None = Field(None, ge=1, description="Use at most so many pool rows, by hash of the id.")
    index: Literal["exact", "ivf", "hnsw"] = Field(
        "exact", description="`exact` misses nothing; the others are approximate, their recall is measured and logged."
    )
    probes: int = Field(64, ge=1, description="Of ivf: cells visited per query; of hnsw: rows kept in view.")
    processes: int = Field(1, ge=1, description="Processes that encode, one per GPU on cuda (speed only).")

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
    calls: int = Field(1, ge=1, description="Requests per instruction; each asks for its share of the n answers.")
    max_calls: int | None = Field(
        None, ge=1, description="With fewer than n distinct answers, ask again, up to so many requests; null: never."
    )

    @model_validator(mode="after")
    def _endpoint(self) -> "LLMCandidates":
        if self.generator == "openai" and self.endpoint is None:
            raise ValueError("generator openai needs an endpoint")
        if self.max_calls is not None and self.max_calls < self.calls:
            raise ValueError("max_calls must not be below calls")
        if self.most_calls > 1 and self.endpoint is not None and self.endpoint.temperature == 0:
            raise ValueError("calls or max_calls above 1 need an endpoint.temperature above 0: at 0 all calls agree")
        return self

    @property
    def most_calls(self) -> int:
        """Requests per instruction at most."""
        return self.max_calls or self.calls


Attack = Literal["ga", "bert_attack", "pwws", "textfooler", "katg"]


class AttackResources(Settings):
    """What the attacks know about language: by default what is installed here, by setting what the papers used."""

    embedding: str = Field("minilm", description="`minilm` (vocabulary) or a text file: word and numbers per line.")
    neighbours: int = Field(20, ge=1, description="Most substitutes per word; 50 in TextFooler and GA.")
    min_cosine: float = Field(
        0.3, ge=-1, le=1, description="Lowest cosine of a swap; TextFooler: 0.5 with counter-fitted vectors."
    )
    ga_min_cosine: float = Field(0.3, ge=-1, le=1, description="The same for `ga`; its paper: 0.75 (distance 0.5).")
    synonyms: str = Field("embedding", description="PWWS: neighbours in `embedding`, or a folder of WordNet's files.")
    tagger: Literal["textblob", "nltk"] = Field("textblob", description="`nltk` is TextFooler's; needs its data.")
    masked_lm: str = Field(
        "minilm", description="BERT-Attack: `minilm` (its encoder with tied logits), or a folder or hub id."
    )
    candidates: int = Field(8, ge=1, description="BERT-Attack's K: predictions per word; its paper: 48.")
    sentence_encoder: str = Field("minilm", description="`minilm`, a local folder or a hub id.")
    textfooler_similarity: float = Field(
        0.84, ge=0, le=1, description="Lowest 1 - angle / pi of the 15 words around a swap; TextFooler: 0.84 with USE."
    )
    bert_attack_similarity: float = Field(0.2, ge=-1, le=1, description="Lowest cosine of whole responses.")
    katg_pool: int = Field(200, ge=2, description="Instructions whose two responses give KATG's keyword bias.")
    device: str = Field("cpu", description="Where the masked LM and the sentence encoder run.")


class Adversarial(Settings):
    """TextAttack recipes against the reward model, starting from the worse response; `katg` is an approximation."""

    recipes: tuple[Attack, ...] = Field(("pwws",), description="Attacks to run.")
    max_queries: int = Field(200, ge=1, description="Reward-model queries per instruction and recipe.")
    max_restarts: int = Field(10, ge=1, description="Masked restarts used to reach n distinct texts.")
    resources: AttackResources = Field(AttackResources(), description="Words and models that the attacks use.")


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
    compare: tuple[Method, ...] = Field(
        (), description="Methods that are scored on the best pair and compared with the arms', without RL runs."
    )
    samples: int = Field(
        4, ge=2, description="Answers sampled per instruction: reward_variance, pre_ppo, pf_ppo, the testbed's truth."
    )
    temperature: float = Field(1.0, gt=0, description="Temperature of these samples.")
    margin_beta: float = Field(0.1, gt=0, description="margin_gap: beta of the implicit reward, as in DPO.")
