"""What users hold: a loaded model that answers questions about pictures."""

from __future__ import annotations

import resource
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from PIL import Image

from edge_runtime.answer import Answer, AnswerStream, FinishReason, Usage
from edge_runtime.backends.backend import Backend
from edge_runtime.bundle import Bundle
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.errors import EdgeVLError
from edge_runtime.picture import PictureLimits, picture_from_bytes, picture_from_file, picture_from_image
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens, Turn, check_fits
from edge_runtime.sampling import Sampling, rng_from_seed
from edge_runtime.sequence import KVSequence, generate
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.textstream import TextStream
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import EncodedImage, VisionEncoder

ImageSource = str | Path | bytes | Image.Image
DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True)
class Request:
    """How to answer. `max_tokens` None asks for as many as fit, up to 512."""

    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise EdgeVLError(
                "EVL-MAX-TOKENS",
                "max_tokens is out of range",
                f"got {self.max_tokens}, wanted 1 or more",
                "give max_tokens a value in that range or leave it out",
            )


class Assistant:
    """A bundle opened on an engine. Not for several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        max_context: int | None = None,
        limits: PictureLimits = PictureLimits(),
    ) -> None:
        self.bundle = bundle
        self.limits = limits
        self.spec = bundle.spec
        self.capacity = checked_context(bundle, max_context)
        self.tokenizer = Tokenizer.open(bundle.tokenizer_path)
        self.format = PromptFormat(self.tokenizer, self.spec.prompt, self.spec.image_tokens)
        self._backend = backend
        self._table = bundle.embedding()
        self._vision = VisionEncoder(backend, self.spec)
        self._sequence = KVSequence(backend.decoder(batch=1, capacity=self.capacity), self._table)
        self._owner: object = None  # the answer that the KV cache belongs to
        self._is_closed = False

    @property
    def precision(self) -> dict[str, str]:
        """Of every role, as the bundle has it."""
        found: dict[str, str] = {
            role: self.bundle.graph(role, "ort").precision for role in self.spec.roles if role != "embed"
        }
        return found | {"embed": "fp32" if self.bundle.manifest.embedding.dtype == "float32" else "fp16"}

    def __enter__(self) -> Assistant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the engine; the assistant answers nothing afterwards."""
        self._is_closed = True
        self._backend.close()

    def ask(
        self,
        text: str,
        image: ImageSource | Iterable[ImageSource] | None = None,
        system: str | None = None,
        request: Request = Request(),
    ) -> Answer:
        """One question, one answer. Images stand before the text, in order."""
        return self.stream(text, image, system, request).answer

    def stream(
        self,
        text: str,
        image: ImageSource | Iterable[ImageSource] | None = None,
        system: str | None = None,
        request: Request = Request(),
    ) -> AnswerStream:
        """As `ask`, piece by piece."""
        return self.chat(system).stream(text, image, request)

    def chat(self, system: str | None = None) -> Chat:
        """A conversation; what it has in common with the one before is not computed again."""
        return Chat(self, system)

    def raw(
        self,
        prompt: str,
        image: ImageSource | Iterable[ImageSource] | None = None,
        request: Request = Request(),
    ) -> AnswerStream:
        """The prompt as it stands after the beginning token; `<image>` marks where images go."""
        stopwatch = Stopwatch()
        images = self.encoded(image, stopwatch)
        refs = tuple(ImageRef(each.digest) for each in images)
        return AnswerStream(
            self._answer(self.format.raw_prompt_tokens(prompt, refs), images, request, (), stopwatch)
        )

    def encoded(
        self, image: ImageSource | Iterable[ImageSource] | None, stopwatch: Stopwatch
    ) -> list[EncodedImage]:
        pictures = []
        for source in sources_of(image):
            with stopwatch.time("decode_image"):
                pictures.append(picture_from_source(source, self.limits))
        return [self._vision.encode(picture, stopwatch) for picture in pictures]

    def _answer(
        self,
        prompt: PromptTokens,
        images: list[EncodedImage],
        request: Request,
        stop_strings: tuple[str, ...],
        stopwatch: Stopwatch,
    ) -> Generator[str, None, Answer]:
        limit = self._limit(prompt, request)
        owner = self._owner = object()
        self._check_owner(owner)
        sequence, text = self._sequence, TextStream(self.tokenizer, (*stop_strings, *request.stop))
        embedded = EmbeddedPrompt(
            prompt, self._table, [image.rows for image in images], [image.digest for image in images]
        )
        with stopwatch.time("prefill"):
            logits, cached = sequence.prefill(embedded)
        rng = rng_from_seed(request.sampling.seed)
        tokens = generate(sequence, logits, prompt.ids, request.sampling, rng, self.spec.prompt.eos_id, limit)
        ids: list[int] = []
        pieces: list[str] = []
        while not text.is_stopped:
            self._check_owner(owner)
            with stopwatch.time("decode"):
                token = next(tokens, None)
            if token is None:
                break
            ids.append(token)
            pieces.append(text.feed(token))
            yield pieces[-1]
        pieces.append(text.finish())
        yield pieces[-1]
        is_cut = not text.is_stopped and len(ids) == limit
        usage = Usage(len(prompt), prompt.image_token_count, cached, len(ids))
        return self._report("".join(pieces), ids, "length" if is_cut else "stop", usage, stopwatch)

    def _check_owner(self, owner: object) -> None:
        if self._is_closed:
            what, why, fix = "the assistant answers nothing", "it was closed", "load the bundle again"
            raise EdgeVLError("EVL-ASSISTANT-CLOSED", what, why, fix)
        if owner is not self._owner:
            raise EdgeVLError(
                "EVL-STREAM-REPLACED",
                "this answer cannot go on",
                "another one was begun, and an assistant has room for one at a time",
                "read a stream to its end before the next question",
            )

    def _limit(self, prompt: PromptTokens, request: Request) -> int:
        check_fits(prompt, request.max_tokens or 1, self.capacity)
        return request.max_tokens or min(DEFAULT_MAX_TOKENS, self.capacity - len(prompt))

    def _report(
        self, text: str, ids: list[int], reason: FinishReason, usage: Usage, stopwatch: Stopwatch
    ) -> Answer:
        timings = stopwatch.timings_ms()
        seconds = timings["decode"] / 1000
        return Answer(
            text=text,
            token_ids=tuple(ids),
            finish_reason=reason,
            usage=usage,
            timings_ms=timings,
            tokens_per_s=round(len(ids) / seconds, 2) if seconds > 0 else 0.0,
            engine=self._backend.name,
            precision=self.precision,
            peak_rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        )


class Chat:
    """A conversation that grows turn by turn. An answer that was not read to its end is not kept."""

    def __init__(self, assistant: Assistant, system: str | None = None) -> None:
        self._assistant = assistant
        self._system = system
        self._turns: list[Turn] = []
        self._images: list[EncodedImage] = []

    def ask(
        self,
        text: str,
        image: ImageSource | Iterable[ImageSource] | None = None,
        request: Request = Request(),
    ) -> Answer:
        """The next question, with new images if any."""
        return self.stream(text, image, request).answer

    def stream(
        self,
        text: str,
        image: ImageSource | Iterable[ImageSource] | None = None,
        request: Request = Request(),
    ) -> AnswerStream:
        """As `ask`, piece by piece."""
        stopwatch = Stopwatch()
        fresh = self._assistant.encoded(image, stopwatch)
        turn = Turn("user", text, tuple(ImageRef(each.digest) for each in fresh))
        turns, images = [*self._turns, turn], [*self._images, *fresh]
        prompt = self._assistant.format.chat_prompt_tokens(turns, self._system)
        return AnswerStream(self._kept(turns, images, prompt, request, stopwatch))

    def _kept(
        self,
        turns: list[Turn],
        images: list[EncodedImage],
        prompt: PromptTokens,
        request: Request,
        stopwatch: Stopwatch,
    ) -> Generator[str, None, Answer]:
        stop_strings = self._assistant.spec.prompt.stop_strings
        answer = yield from self._assistant._answer(prompt, images, request, stop_strings, stopwatch)
        self._turns, self._images = [*turns, Turn("assistant", answer.text)], images
        return answer


def sources_of(image: ImageSource | Iterable[ImageSource] | None) -> list[ImageSource]:
    if image is None:
        return []
    if isinstance(image, str | Path | bytes | Image.Image):
        return [image]
    return list(image)


def picture_from_source(source: ImageSource, limits: PictureLimits) -> Image.Image:
    if isinstance(source, bytes):
        return picture_from_bytes(source, limits)
    if isinstance(source, Image.Image):
        return picture_from_image(source)
    return picture_from_file(source, limits)


def checked_context(bundle: Bundle, max_context: int | None) -> int:
    limit = bundle.manifest.max_context
    if max_context is None or 0 < max_context <= limit:
        return max_context or limit
    raise EdgeVLError(
        "EVL-CONTEXT-LIMIT",
        f"a context of {max_context} tokens is not possible with this bundle",
        f"it was exported for 1 to {limit}",
        "lower --max-context, or export again with a higher one",
    )
