"""Where the posts come from and how they are divided."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ._base import Settings


class Splits(Settings):
    """Shares of the questions; a question's place depends on the hash of its id alone."""

    segments: dict[Literal["sft", "preference", "rl"], float] = Field(
        {"sft": 0.4, "preference": 0.4, "rl": 0.2}, description="Share of the questions per segment; sums to 1."
    )
    dev: float = Field(0.05, ge=0, lt=1, description="Share of a segment's questions held out for development.")
    test: float = Field(0.15, gt=0, lt=1, description="Share of a segment's questions held out for testing.")
    salt: str = Field("seam", description="Text hashed with each question id; another salt is another division.")
    pairs_per_question: int = Field(10, ge=1, description="At most so many preference pairs from one question.")

    @model_validator(mode="after")
    def _sums_to_one(self) -> "Splits":
        if set(self.segments) != {"sft", "preference", "rl"} or abs(sum(self.segments.values()) - 1) > 1e-6:
            raise ValueError("segments must give sft, preference and rl shares that sum to 1")
        if self.dev + self.test >= 1:
            raise ValueError("dev + test must leave something to train on")
        return self


class TestbedData(Settings):
    """Questions and answers generated from the embedded knowledge base."""

    source: Literal["testbed"]
    questions: int = Field(6000, ge=60, description="How many questions the community asks.")
    topics: int = Field(40, ge=4, description="How many functions of the invented library are asked about.")
    answers_per_question: int = Field(4, ge=2, le=10, description="Answers of graded quality per question.")
    vote_noise: float = Field(0.5, ge=0, description="Standard deviation of the voters' noise, in rating points of 10.")
    seed: int = Field(0, description="Seed of the world; the same seed is the same community.")
    splits: Splits = Field(Splits(), description="How the questions are divided.")


class FileData(Settings):
    """Real posts: official dumps, CSV exports, paired rows or a user's own rows."""

    source: Literal["files"]
    paths: tuple[str, ...] = Field(
        min_length=1, description="Posts.xml, .7z, CSV, parquet, JSONL, JSON, folders of these, or a hub dataset id."
    )
    max_questions: int | None = Field(None, ge=1, description="Read at most so many questions per path.")
    max_response_chars: int = Field(4000, ge=1, description="Answers longer than this are skipped and counted.")
    max_instruction_chars: int = Field(4000, ge=1, description="Questions longer than this are skipped and counted.")
    splits: Splits = Field(Splits(), description="How the questions are divided.")


DataSettings = Annotated[TestbedData | FileData, Field(discriminator="source")]
