"""Whether two engines say the same about one picture."""

from __future__ import annotations

from jetson.acceptance_report import Outcome

LEAST_AGREED = (
    1  # tokens: two right engines may part where two tokens are almost as likely, but hardly at the first
)


def agreement_of(built: Outcome, reference: Outcome) -> Outcome:
    """Of two answers to one question; skipped where there was nothing to compare."""
    ids, wanted = token_ids(built), token_ids(reference)
    if ids is None or wanted is None:
        return Outcome("agreement", "failed", "an answer has no token_ids")
    agreed = common_length(ids, wanted)
    answer: dict[str, object] = {
        "engines": [built.field("engine"), reference.field("engine")],
        "agreed": agreed,
        "tokens": [len(ids), len(wanted)],
        "same": ids == wanted,
        "least_agreed": LEAST_AGREED,
    }
    if not ids and not wanted:
        return Outcome("agreement", "skipped", "neither answer has a token to compare", answer=answer)
    if agreed < LEAST_AGREED:
        return Outcome("agreement", "failed", "the answers differ from the first token on", answer=answer)
    return Outcome("agreement", "passed", answer=answer)


def common_length(ids: list[int], wanted: list[int]) -> int:
    """How many of the first are the same."""
    shorter = min(len(ids), len(wanted))
    return next((at for at in range(shorter) if ids[at] != wanted[at]), shorter)


def token_ids(answer: Outcome) -> list[int] | None:
    found = answer.field("token_ids")
    if not isinstance(found, list) or not all(isinstance(each, int) for each in found):
        return None
    return found
