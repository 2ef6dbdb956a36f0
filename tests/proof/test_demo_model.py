"""The shipped model: transformers opens it by itself, and answers as our bundle does."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from demo.questions import Case, cases_from_questions, held_out_questions
from demo.samples import samples
from demo.unchanged import ALONE, LIMIT, Way, answer_in, answers_in, loop_for, question_from_case
from demo.walkthrough import CHECKPOINT
from edge_runtime.answer import Answer
from edge_runtime.assistant import Assistant
from edge_runtime.backends.ort import OrtBackend
from edge_runtime.bundle import Bundle
from edge_runtime.draft import DraftRules
from edge_runtime.preprocess import pixels_from_picture
from edge_runtime.prompt import ImageRef, Turn
from edge_runtime.request import Request
from export.exporter import export_bundle
from export.options import ExportOptions
from tests.proof.oracle import Oracle

QUESTIONS = 200
LIMIT_BYTES = 12_000_000
CACHED = Way("from the cache", is_asked_before=True)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    model = AutoModelForImageTextToText.from_pretrained(CHECKPOINT, dtype=torch.float32)
    return Oracle(model.eval())


@pytest.fixture(scope="module")
def assistant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assistant]:
    out = tmp_path_factory.mktemp("demo-model") / "bundle"
    export_bundle(CHECKPOINT, out, ExportOptions(precision="fp32"))
    bundle = Bundle.open(out)
    with Assistant(bundle, OrtBackend(bundle)) as assistant:
        yield assistant


@pytest.fixture(scope="module")
def answers(assistant: Assistant) -> list[tuple[Case, Answer]]:
    """One at a time, as our bundle gives them."""
    request = Request(max_tokens=LIMIT)
    cases = cases_from_questions(held_out_questions(QUESTIONS))
    return [(case, assistant.ask(case.prompt, case.picture, request=request)) for case in cases]


def test_held_out_questions_are_answered_token_by_token_as_transformers_does(
    oracle: Oracle, assistant: Assistant, answers: list[tuple[Case, Answer]]
) -> None:
    assert len({case.task for case, _ in answers}) == 15
    different: list[str] = []
    right = 0
    for case, answer in answers:
        assert isinstance(case.picture, bytes)
        with Image.open(io.BytesIO(case.picture)) as picture:
            pixels = pixels_from_picture(picture.convert("RGB"), assistant.spec.preprocess)
        prompt = assistant.format.chat_prompt_tokens([Turn("user", case.prompt, (ImageRef(b"picture"),))])
        wanted = oracle.greedy(prompt.ids, [pixels], LIMIT)
        if tuple(answer.token_ids) != tuple(token for token in wanted if token != oracle_end(oracle)):
            different.append(f"{case.prompt}: {answer.text!r}")
        right += answer.text.strip() == case.answer
    assert different == []
    assert right > QUESTIONS / 2, "a model that always says the same proves little"


@dataclass(frozen=True)
class Asked:
    """One question in every way that keeps to one at a time."""

    cold: Answer
    cached: Answer
    again: Answer  # in a conversation that has its answer


@pytest.fixture(scope="module")
def asked(assistant: Assistant, answers: list[tuple[Case, Answer]]) -> list[Asked]:
    backend = OrtBackend(assistant.bundle)
    loop, found = loop_for(ALONE, assistant.bundle, backend, QUESTIONS), []
    for case, _ in answers:
        question, again = (question_from_case(case, assistant.bundle, is_again) for is_again in (False, True))
        cold = answer_in(ALONE, loop, question)
        found.append(Asked(cold, *(answer_in(CACHED, loop, each) for each in (question, again))))
    backend.close()
    return found


def test_a_prompt_from_the_cache_is_answered_token_by_token_as_one_that_is_read(
    asked: list[Asked], answers: list[tuple[Case, Answer]]
) -> None:
    assert all(each.cold.usage.cached_tokens == 0 for each in asked)
    assert all(each.cached.usage.cached_tokens == each.cached.usage.prompt_tokens - 1 for each in asked)
    wanted = [(answer.token_ids, answer.text, answer.finish_reason) for _, answer in answers]
    for found in ([each.cold for each in asked], [each.cached for each in asked]):
        assert [(each.token_ids, each.text, each.finish_reason) for each in found] == wanted


def test_answers_guessed_ahead_are_token_by_token_those_that_are_not(
    assistant: Assistant, asked: list[Asked], answers: list[tuple[Case, Answer]]
) -> None:
    """Answers are short: only where every token seen before is followed is anything guessed."""
    way, backend = Way("guessed", drafts=DraftRules(shortest=1, rest=0)), OrtBackend(assistant.bundle)
    loop = loop_for(way, assistant.bundle, backend, QUESTIONS)
    for (case, _), wanted in zip(answers, asked, strict=True):
        for is_again, answer in ((False, wanted.cold), (True, wanted.again)):
            found = answer_in(way, loop, question_from_case(case, assistant.bundle, is_again))
            assert (found.token_ids, found.text) == (answer.token_ids, answer.text), case.prompt
            assert found.finish_reason == answer.finish_reason
    assert loop.accepted > QUESTIONS / 2 and loop.drafted > loop.accepted
    backend.close()


def test_four_at_once_are_answered_token_by_token_as_one_at_a_time(
    assistant: Assistant, answers: list[tuple[Case, Answer]]
) -> None:
    backend = OrtBackend(assistant.bundle)
    way = Way("four at once", slots=4)
    loop = loop_for(way, assistant.bundle, backend, QUESTIONS)
    found = answers_in(way, loop, [question_from_case(case, assistant.bundle) for case, _ in answers])
    assert [each.token_ids for each in found] == [answer.token_ids for _, answer in answers]
    assert [each.text for each in found] == [answer.text for _, answer in answers]
    backend.close()


def oracle_end(oracle: Oracle) -> int:
    end = oracle.model.generation_config.eos_token_id
    assert isinstance(end, int)
    return end


def test_transformers_by_itself_reads_a_sample(oracle: Oracle) -> None:
    """Its own processor and template, nothing of ours; its pixels differ from the original's by a little."""
    processor = AutoProcessor.from_pretrained(CHECKPOINT)
    with Image.open(CHECKPOINT.parent / "samples" / "shapes.png") as picture:
        content = [
            {"type": "image", "image": picture.convert("RGB")},
            {"type": "text", "text": "how many shapes are there?"},
        ]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    found = oracle.model.generate(**inputs, max_new_tokens=8, do_sample=False)
    text = processor.decode(found[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    sample = next(each for each in samples() if each.picture == "shapes.png" and each.task == "count")
    assert text.strip() == sample.answer


def test_the_folder_is_small_and_complete() -> None:
    sizes = {path.name: path.stat().st_size for path in Path(CHECKPOINT).iterdir()}
    assert sum(sizes.values()) <= LIMIT_BYTES
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "MODEL_CARD.md",
    } <= set(sizes)
    config = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "deepseek_vl_hybrid"
