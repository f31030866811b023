"""What an audit does, apart from the models and the files."""

from typing import Literal

from pydantic import Field

from ..experiment import Adversarial, Contrast, Form, LLMCandidates, Scoring, Variant
from ..experiment._base import Settings

Precision = Literal["float32", "bfloat16", "float16", "8bit", "4bit"]


class AuditSettings(Settings):
    """Defaults are the paper's, but responses are scored whole."""

    variants: tuple[Variant, ...] = Field(("contrast",), min_length=1, description="Candidate sets to build.")
    n: int = Field(30, ge=1, description="Candidates wanted per instruction and variant.")
    rate: float = Field(0.2, gt=0, lt=1, description="Share of the instructions that the filtered dataset leaves out.")
    form: Form = Field("log", description="Form of the score that selection and report use.")
    seed: int = Field(0, description="Seed of the adversarial search, of the topics and of the bootstrap.")
    contrast: Contrast = Field(Contrast.model_validate({}), description="Band and embedding, also of the topics.")
    llm: LLMCandidates | None = Field(None, description="Endpoint of the llm variant.")
    adversarial: Adversarial = Field(Adversarial.model_validate({}), description="Attacks of the adversarial variant.")
    scoring: Scoring = Field(
        Scoring.model_validate({"max_response_tokens": None}), description="Cuts; `form` here is not used."
    )
    load_in: Precision | None = Field(None, description="Precision of both models; the checkpoints' own when absent.")
    topic_column: str | None = Field(None, description="Column with each instruction's topics; else they are found.")
