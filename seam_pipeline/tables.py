"""The schemas of the tables that pass between stages."""

import pyarrow as pa

STRING, FLOAT, INT, SMALL, FLAG = pa.string(), pa.float64(), pa.int64(), pa.int32(), pa.bool_()


def _schema(nullable: str = "", **columns: pa.DataType) -> pa.Schema:
    may_be_null = set(nullable.split())
    return pa.schema([pa.field(name, kind, nullable=name in may_be_null) for name, kind in columns.items()])


QUESTION_ANSWERS = _schema(
    question_id=STRING,
    instruction=STRING,
    answer_id=STRING,
    response=STRING,
    votes=INT,
    accepted=FLAG,
    score=INT,
)
"""One row per answer."""

SFT = _schema(id=STRING, split=STRING, instruction=STRING, golden_response=STRING)
"""One row per question."""

PREFERENCE = _schema(
    id=STRING,
    question_id=STRING,
    split=STRING,
    instruction=STRING,
    chosen=STRING,
    rejected=STRING,
    chosen_score=INT,
    rejected_score=INT,
)
"""One row per pair of answers with different scores."""

RL = _schema(
    "worse_response", id=STRING, split=STRING, instruction=STRING, golden_response=STRING, worse_response=STRING
)
"""One row per question; `worse_response` is r-, the lowest scored answer."""

CANDIDATES = _schema(
    "candidate similarity reason",
    id=STRING,
    candidate_index=SMALL,
    candidate=STRING,
    source=STRING,
    similarity=FLOAT,
    reason=STRING,
)
"""One row per candidate r*; a short set has one more row with index -1, no candidate and the reason."""

LIKELIHOODS = _schema(
    "loglik n_tokens reason",
    id=STRING,
    candidate_index=SMALL,
    loglik=FLOAT,
    n_tokens=SMALL,
    prompt_cut=SMALL,
    truncated=FLAG,
    reason=STRING,
)
"""One row per candidate; `loglik` in nats, summed over `n_tokens`."""

REWARDS = _schema("reward reason", id=STRING, candidate_index=SMALL, reward=FLOAT, reason=STRING)
"""One row per candidate; index -1 is the golden response."""

CANDIDATE_SCORES = _schema(
    "loglik n_tokens reward golden_reward misjudgement reason",
    id=STRING,
    candidate_index=SMALL,
    loglik=FLOAT,
    n_tokens=SMALL,
    reward=FLOAT,
    golden_reward=FLOAT,
    misjudgement=FLOAT,
    reason=STRING,
)
"""One row per candidate of one (policy, reward model) pair."""

SEAM_SCORES = _schema(
    "seam_log seam_prob seam_mean_log seam_mean_prob reason",
    id=STRING,
    seam_log=FLOAT,
    seam_prob=FLOAT,
    seam_mean_log=FLOAT,
    seam_mean_prob=FLOAT,
    n_candidates=SMALL,
    reason=STRING,
)
"""One row per instruction of one (policy, reward model) pair."""

SELECTED = _schema("score reason", id=STRING, kept=FLAG, score=FLOAT, reason=STRING)
"""One row per RL train instruction; low scores are filtered first."""

ANSWERS = _schema(
    "rating explanation reason",
    id=STRING,
    seed=SMALL,
    instruction=STRING,
    golden_response=STRING,
    response=STRING,
    n_tokens=SMALL,
    rating=FLOAT,
    judge=STRING,
    explanation=STRING,
    reason=STRING,
)
"""One row per judged answer; ratings from 1 to 10."""

REWARD_QUALITY = _schema(
    "chosen_reward rejected_reward correct reason",
    id=STRING,
    chosen_reward=FLOAT,
    rejected_reward=FLOAT,
    correct=FLAG,
    reason=STRING,
)
"""One row per test pair."""

PREFERENCE_ANSWERS = _schema(
    id=STRING, instruction=STRING, response_1=STRING, response_2=STRING, policy_1=SMALL, policy_2=SMALL
)
"""One row per instruction: two policies' answers and the policies' ranks."""

VERDICTS = _schema(
    "preference reason explanation", id=STRING, judge=STRING, preference=STRING, reason=STRING, explanation=STRING
)
"""One row per pair of answers; `preference` is 1, 2 or tie."""

JUDGEMENTS = _schema(
    "left seconds comment pair",
    id=STRING,
    annotator=STRING,
    choice=STRING,
    left=STRING,
    seconds=FLOAT,
    comment=STRING,
    at=STRING,
    pair=STRING,
)
"""One row per person's standing judgement: `choice` 1, 2 or tie; the response shown `left`; `pair` hashes the texts."""

SEGMENT_QUESTIONS = _schema(id=STRING, instruction=STRING, golden_response=STRING, segment=STRING)
"""One row per test question of any segment (`sft`, `preference`, `rl`)."""

SEGMENT_PAIRS = PREFERENCE.append(pa.field("segment", STRING, nullable=False))
"""One row per pair of answers to a test question of any segment."""

SEGMENT_ANSWERS = ANSWERS.append(pa.field("segment", STRING, nullable=False))
"""One row per judged answer, segment and seed of training."""

SEGMENT_REWARDS = pa.schema(
    [*REWARD_QUALITY, *(pa.field(name, kind, nullable=False) for name, kind in
                        (("seed", SMALL), ("question_id", STRING), ("segment", STRING)))]
)  # fmt: skip
"""One row per test pair, segment and seed of training."""

JUDGE_RATINGS = _schema("rating reason", policy=SMALL, id=STRING, judge=STRING, rating=FLOAT, reason=STRING)
"""One row per policy rank, test question and judge: the same answer rated by each."""
