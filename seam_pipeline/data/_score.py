"""The score of an answer, SPEC section 2, in Python and in SQL."""

SCORE_SQL = "CASE WHEN votes < 0 THEN -1 ELSE CAST(round(log2(1 + votes)) AS BIGINT) + CAST(accepted AS BIGINT) END"
"""`answer_score` as a DuckDB expression over the columns `votes` and `accepted`."""


def answer_score(votes: int, accepted: bool) -> int:
    """round(log2(1 + votes)), one more if the asker accepted the answer; -1 if the votes are negative.

    Exact for every int: round(log2 n) = floor(log2(n^2) / 2 + 1/2), and no log2 of an int ends in .5.
    """
    if votes < 0:
        return -1
    n = 1 + votes
    return (n * n).bit_length() // 2 + int(accepted)
