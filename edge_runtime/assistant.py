"""What users hold: a loaded model that answers questions about pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from types import TracebackType

from edge_runtime.answer import Answer, AnswerStream, Piece
from edge_runtime.backends.backend import Backend
from edge_runtime.bundle import Bundle
from edge_runtime.chat import Chat
from edge_runtime.constraint_vocabulary import Vocabulary
from edge_runtime.draft import DraftRules
from edge_runtime.embedding import EmbeddedPrompt
from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.facts import facts_of
from edge_runtime.picture_limits import PictureLimits
from edge_runtime.picture_source import Images, picture_from_source, sources_of
from edge_runtime.prompt import ImageRef, PromptFormat, PromptTokens
from edge_runtime.request import Request
from edge_runtime.sequence import KVSequence
from edge_runtime.speaker import Speaker
from edge_runtime.stopwatch import Stopwatch
from edge_runtime.table import Table
from edge_runtime.tokenizer import Tokenizer
from edge_runtime.vision import DecodedImage, EncodedImage, VisionEncoder, digest_of, remembered_for
from edge_runtime.voice import Voice


@dataclass(frozen=True)
class Parts:
    """What an assistant holds of an engine, let go of all at once."""

    backend: Backend
    table: Table
    vision: VisionEncoder
    sequence: KVSequence

    @classmethod
    def open(cls, bundle: Bundle, backend: Backend, capacity: int) -> Parts:
        table = bundle.embedding()
        sequence = KVSequence(backend.decoder(batch=1, capacity=capacity), table)
        remembered = remembered_for(1, capacity, bundle.spec.image_tokens)
        return cls(backend, table, VisionEncoder(backend, bundle.spec, remembered), sequence)


class Assistant:
    """A bundle opened on an engine. One answer at a time, from one thread at a time; anything else is an error."""

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        max_context: int | None = None,
        limits: PictureLimits = PictureLimits(),
        engine_reason: str = "",
        drafts: DraftRules | None = None,
    ) -> None:
        """`engine_reason` is why it is this engine; it is told with every answer. `drafts` is how answers are guessed ahead;
        None feeds one token at a step."""
        self.bundle = bundle
        self.limits = limits
        self.spec = bundle.spec
        self.capacity = checked_context(bundle, max_context)
        self.tokenizer = Tokenizer.open(bundle.tokenizer_path)
        self.format = PromptFormat(self.tokenizer, self.spec.prompt, self.spec.image_tokens)
        self._voice = Voice(self.tokenizer, self.spec, self.capacity, drafts)
        self._parts: Parts | None = Parts.open(bundle, backend, self.capacity)
        self._facts = facts_of(bundle, backend, engine_reason)
        self._owner: object = None  # the answer that the KV cache belongs to
        self._busy = Lock()

    @property
    def precision(self) -> dict[str, str]:
        """Of every role, as it runs here."""
        return dict(self._facts.precision)

    @property
    def vocabulary(self) -> Vocabulary:
        """What constraints are compiled for; made when first asked for."""
        return self._voice.vocabulary

    def __enter__(self) -> Assistant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the engine and its memory; the assistant answers nothing afterwards. A piece of work that another thread has
        under way is waited for: it writes to that memory."""
        parts, self._parts = self._parts, None  # before the lock: whoever works begins nothing more
        with self._busy:
            if parts is not None:
                parts.backend.close()

    def ask(
        self,
        text: str,
        image: Images = None,
        system: str | None = None,
        request: Request = Request(),
    ) -> Answer:
        """One question, one answer. Images stand before the text, in order."""
        return self.stream(text, image, system, request).answer

    def stream(
        self,
        text: str,
        image: Images = None,
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
        image: Images = None,
        request: Request = Request(),
    ) -> AnswerStream:
        """The prompt as it stands after the beginning token; `<image>` marks where images go."""
        stopwatch = Stopwatch()
        decoded = self.decoded(image, stopwatch)
        tokens = self.format.raw_prompt_tokens(prompt, tuple(ImageRef(each.digest) for each in decoded))
        speaker = self.speaker(tokens, request, ())
        return AnswerStream(self.answered(tokens, self.encoded(decoded, stopwatch), speaker, stopwatch))

    def decoded(self, image: Images, stopwatch: Stopwatch) -> list[DecodedImage]:
        """Pictures as they will be shown. No engine is asked."""
        with self._working():  # who is closed or busy says so before a large picture was read
            found = []
            for source in sources_of(image):
                with stopwatch.time("decode_image"):
                    picture = picture_from_source(source, self.limits)
                found.append(DecodedImage(digest_of(picture), picture))
            return found

    def speaker(self, prompt: PromptTokens, request: Request, stop_strings: tuple[str, ...]) -> Speaker:
        """Of an answer to this prompt. Here a question's own mistakes are told: before its pictures are encoded, which
        may take longer than the answer."""
        return self._voice.speaker(prompt, request, stop_strings)

    def encoded(self, decoded: Sequence[DecodedImage], stopwatch: Stopwatch) -> list[EncodedImage]:
        """Pictures seen before are remembered. What goes wrong here has not touched the decoder's cache."""
        with self._working() as parts:
            return [parts.vision.encode(each.picture, stopwatch, each.digest) for each in decoded]

    def answered(
        self, prompt: PromptTokens, images: list[EncodedImage], speaker: Speaker, stopwatch: Stopwatch
    ) -> Generator[str, None, Answer]:
        """The answer to a prompt, piece by piece; what `chat` and `raw` have in common. Whoever holds the stream holds this
        frame: the engine's parts are in those of `_begun` and `_gone_on` only, which end with each piece of work."""
        owner, told = object(), list[Piece]()
        cached, held = self._begun(owner, prompt, images, speaker, stopwatch, told), len(prompt)
        while True:
            yield from (piece.text for piece in told)
            if speaker.saying.reason is not None:
                break
            told.clear()
            held = self._gone_on(owner, speaker, stopwatch, told)
        return self._facts.answer(speaker.saying, prompt, cached, held, stopwatch)

    def _begun(
        self,
        owner: object,
        prompt: PromptTokens,
        images: list[EncodedImage],
        speaker: Speaker,
        stopwatch: Stopwatch,
        told: list[Piece],
    ) -> int:
        """Up to the first token; how many of the prompt were in the cache."""
        with self._working() as parts, self._forgetting(parts.sequence):
            self._owner = owner
            with stopwatch.time("prefill"):
                rows, digests = [image.rows for image in images], [image.digest for image in images]
                scores, cached = parts.sequence.prefill(EmbeddedPrompt(prompt, parts.table, rows, digests))
            with stopwatch.time("decode"):
                told.append(speaker.saying.hear(scores))
        return cached

    def _gone_on(self, owner: object, speaker: Speaker, stopwatch: Stopwatch, told: list[Piece]) -> int:
        """By a step; how many tokens the cache holds then."""
        with self._working(owner) as parts, self._forgetting(parts.sequence), stopwatch.time("decode"):
            speaker.step(parts.sequence, told.append)
            return len(parts.sequence.keys)

    @contextmanager
    def _working(self, owner: object = None) -> Iterator[Parts]:
        """The engine's parts for one piece of work, of the answer `owner` if it is one that goes on."""
        if not self._busy.acquire(blocking=False):
            if self._parts is None:  # whoever closes it holds the lock meanwhile
                raise closed()
            what, why = "the assistant is busy", "another thread is using it, and its cache holds one answer"
            raise EdgeVLError("EVL-ASSISTANT-BUSY", what, why, "give every thread an assistant of its own")
        try:
            parts = self._parts  # read once: whoever closes takes it away without the lock
            if parts is None:
                raise closed()
            if owner is not None and owner is not self._owner:
                raise EdgeVLError(
                    "EVL-STREAM-REPLACED",
                    "this answer cannot go on",
                    "another one was begun, and an assistant has room for one at a time",
                    "read a stream to its end before the next question",
                )
            yield parts
        finally:
            self._busy.release()

    @contextmanager
    def _forgetting(self, sequence: KVSequence) -> Iterator[None]:
        """After a fault nobody knows what the cache holds: a NaN in it would be in every answer that begins alike. Nor may
        an answer go on whose prompt it was."""
        try:
            yield
        except MachineFault:
            sequence.keys.clear()
            self._owner = None
            raise


def closed() -> EdgeVLError:
    what, why, fix = "the assistant answers nothing", "it was closed", "load the bundle again"
    return EdgeVLError("EVL-ASSISTANT-CLOSED", what, why, fix)


def checked_context(bundle: Bundle, max_context: int | None) -> int:
    limit = bundle.manifest.max_context
    if max_context is None or 0 < max_context <= limit:
        return max_context or limit
    raise EdgeVLError(
        "EVL-CONTEXT-LIMIT",
        f"a context of {max_context} tokens is not possible with this bundle",
        f"it was exported for 1 to {limit}",
        "lower --max-context, or export again with a higher one"
        if max_context > 0
        else "raise --max-context",
    )
