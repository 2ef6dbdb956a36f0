"""OpenAI's own client, over a real connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import pytest
import uvicorn

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.server.asked import Asked
from tests.edge_runtime.server.fake_engine import FACTS, IMAGE_TOKENS
from tests.edge_runtime.server.http.house import DATA_URL, House


@contextmanager
def served(house: House) -> Iterator[str]:
    """At an address of this machine's that is free."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        config = uvicorn.Config(house.app, http="h11", ws="none", log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def client(house: House) -> Iterator[openai.OpenAI]:
    with served(house) as address, openai.OpenAI(base_url=address, api_key="none", max_retries=0) as client:
        yield client


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["fake-vl"]
    model = client.models.retrieve("fake-vl")
    assert model.model_extra is not None
    assert model.model_extra["max_model_len"] == FACTS.max_context


def test_a_question_is_answered(client: openai.OpenAI) -> None:
    told = client.chat.completions.create(
        model="fake-vl", messages=[{"role": "user", "content": "What is it?"}], n=2
    )
    assert [choice.message.content for choice in told.choices] == ["It is red."] * 2
    assert told.usage is not None
    assert told.usage.completion_tokens == 6


def test_a_question_about_a_picture_is_answered(client: openai.OpenAI, house: House) -> None:
    told = client.chat.completions.create(
        model="fake-vl",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": DATA_URL}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ],
    )
    assert told.choices[0].message.content == "It is red."
    assert house.engine.asked[0].pictures == (DATA_URL.encode(),)
    assert told.usage is not None
    assert told.usage.prompt_tokens == len("What is it?") + IMAGE_TOKENS


def test_an_answer_is_streamed_with_its_usage(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="fake-vl",
        messages=[{"role": "user", "content": "What is it?"}],
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == "It is red."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == len("What is it?") + 3


def test_completions_and_responses_are_answered(client: openai.OpenAI) -> None:
    assert client.completions.create(model="fake-vl", prompt="One,").choices[0].text == "It is red."
    assert client.responses.create(model="fake-vl", input="What is it?").output_text == "It is red."
    with client.responses.create(model="fake-vl", input="What is it?", stream=True) as stream:
        assert [event.type for event in stream][-1] == "response.completed"


def test_faults_are_the_clients_own_kinds(client: openai.OpenAI, house: House) -> None:
    def ask(model: str = "fake-vl", temperature: float = 0) -> None:
        client.chat.completions.create(
            model=model, temperature=temperature, messages=[{"role": "user", "content": "a"}]
        )

    with pytest.raises(openai.BadRequestError, match="temperature") as bad:
        ask(temperature=9)
    assert (bad.value.param, bad.value.code) == ("temperature", "EVL-REQUEST-FIELD")
    with pytest.raises(openai.NotFoundError) as missing:
        ask(model="gpt-4o")
    assert missing.value.code == "model_not_found"
    house.engine.fault = EdgeVLError("EVL-LOOP-FULL", "full", "full", "wait")
    with pytest.raises(openai.RateLimitError):
        ask()
    house.engine.fault = MachineFault("EVL-LOGITS-NONFINITE", "no numbers", "x", "y")
    with pytest.raises(openai.InternalServerError) as broken:
        ask()
    assert broken.value.code == "EVL-LOGITS-NONFINITE"


def test_a_fault_in_the_middle_of_a_stream_is_raised(client: openai.OpenAI, house: House) -> None:
    house.engine.gated = 1
    house.engine.fault = MachineFault("EVL-ENGINE-RESTARTING", "gone", "killed", "wait")
    with (
        client.chat.completions.create(
            model="fake-vl", messages=[{"role": "user", "content": "a"}], stream=True
        ) as stream,
        pytest.raises(openai.APIError, match="ask again later") as caught,
    ):
        list(stream)
    assert caught.value.code == "engine_restarting"


def test_only_what_may_be_repeated_is_repeated(house: House) -> None:
    with served(house) as address:
        client = openai.OpenAI(base_url=address, api_key="none", max_retries=2)
        house.engine.fault = EdgeVLError("EVL-IMAGE-BROKEN", "broken", "x", "y")
        with client, pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="fake-vl", messages=[{"role": "user", "content": "a"}])
    assert len(house.engine.asked) == 1


def test_whoever_closes_a_stream_is_not_answered_any_further(client: openai.OpenAI, house: House) -> None:
    left = house.engine.left = Noticed()
    house.engine.gated = 1
    house.engine.gate.clear()
    with client.chat.completions.create(
        model="fake-vl", messages=[{"role": "user", "content": "a"}], stream=True
    ) as stream:
        assert next(iter(stream)).choices[0].delta.role == "assistant"
    assert left.is_noticed.wait(10)
    assert left == house.engine.asked


class Noticed(list[Asked]):
    """Who waits for it is in another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.is_noticed = threading.Event()

    def append(self, asked: Asked) -> None:
        super().append(asked)
        self.is_noticed.set()
