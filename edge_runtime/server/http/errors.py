"""What goes wrong, as an HTTP status and an OpenAI error object. Nothing of this machine is ever told."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from edge_runtime.errors import EdgeVLError, MachineFault
from edge_runtime.server.admission import Refusal

INVALID, LIMITED, SERVER = "invalid_request_error", "rate_limit_error", "server_error"
RESTART_S = 3.0  # a worker that went away is usually back by then
OURS_TEXT = "the server could not do this: the fault is not in the request"
AWAY_TEXT = "the engine is not there at the moment: it is starting, restarting or stopping: ask again later"
AWAY_CODES = ("EVL-ENGINE-RESTARTING", "EVL-ENGINE-STOPPING")
# The asker's to mend. Anything else is a fault of the server, however it is called.
ASKERS = re.compile(
    r"EVL-(REQUEST|CONTEXT-OVERFLOW|IMAGE|SAMPLING|CONSTRAINT|PROMPT-(IMAGES|ROLES)|TEXT|TOKEN-IDS|STOP-STRINGS|MAX-TOKENS|LOGPROBS)\b"
)
OPENAI_CODES = {"EVL-CONTEXT-OVERFLOW": "context_length_exceeded"}
PARAMS = {"EVL-STOP-STRINGS": "stop", "EVL-MAX-TOKENS": "max_tokens"}
OF_PROMPTS = re.compile(r"EVL-(CONTEXT-OVERFLOW|IMAGE|PROMPT|TEXT|TOKEN-IDS)\b")
SAMPLING = "EVL-SAMPLING-"
# A route of ours is no folder.
OF_MACHINE = re.compile(
    r"0x[0-9a-fA-F]{6,}|(?<![\w/.:])(?!/(?:de)?tokenize(?![\w/.@+-]))(?:/[\w.@+-]+)+/?|[\w/.-]+\.py\b|[A-Za-z]:\\\S+"
)


class RequestError(EdgeVLError):
    """A request that cannot be answered as it stands. `param` is the field that is the matter, `word` OpenAI's own code
    where there is one."""

    def __init__(
        self,
        code: str,
        what: str,
        why: str,
        fix: str,
        param: str | None = None,
        status: int = 400,
        word: str | None = None,
    ) -> None:
        super().__init__(code, what, why, fix)
        self.param = param
        self.status = status
        self.word = word


@dataclass(frozen=True)
class Fault:
    """What is told of an error."""

    status: int
    type: str
    message: str
    code: str | None
    param: str | None = None
    retry_after_s: float | None = None

    @property
    def body(self) -> dict[str, object]:
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": told}

    @property
    def data(self) -> bytes:
        return json.dumps(self.body, ensure_ascii=False).encode("utf-8", "replace")

    @property
    def headers(self) -> dict[str, str]:
        if self.retry_after_s is not None:
            return {
                "retry-after": str(math.ceil(self.retry_after_s)),
                "retry-after-ms": str(math.ceil(self.retry_after_s * 1000)),
            }
        return {"x-should-retry": "false"} if self.status < 500 else {}


def fault_of(error: Exception, retry_after_s: float = RESTART_S, asked_in: str | None = None) -> Fault:
    """`retry_after_s` is what is told where the engine itself had no room. `asked_in` is the field of the question."""
    if isinstance(error, RequestError):
        code = error.word or error.code
        return Fault(error.status, type_of(error.status), sentence(error), code, error.param)
    if isinstance(error, Refusal):
        return Fault(429, LIMITED, sentence(error), error.code, retry_after_s=error.retry_after_s)
    if not isinstance(error, EdgeVLError):
        return Fault(500, SERVER, OURS_TEXT, "EVL-INTERNAL")
    told = OF_MACHINE.sub("…", sentence(error))
    if error.code == "EVL-LOOP-FULL":
        return Fault(429, LIMITED, told, error.code, retry_after_s=retry_after_s)
    if error.code in AWAY_CODES:
        return Fault(503, SERVER, AWAY_TEXT, "engine_restarting", retry_after_s=RESTART_S)
    if isinstance(error, MachineFault) or not ASKERS.match(error.code):
        return Fault(500, SERVER, OURS_TEXT, error.code)
    code = OPENAI_CODES.get(error.code, error.code)
    return Fault(400, INVALID, told, code, param_of(error.code, asked_in))


def fault_of_status(status: int) -> Fault:
    """Where no route of ours was reached."""
    texts = {
        404: "there is nothing here: the API is at /v1, its description at /openapi.json",
        405: "this method is not allowed here: the header Allow names those that are",
    }
    return Fault(
        status, type_of(status), texts.get(status, "this request cannot be answered"), f"http_{status}"
    )


def type_of(status: int) -> str:
    return SERVER if status >= 500 else INVALID


def sentence(error: EdgeVLError) -> str:
    return f"{error.what}: {error.why}: {error.fix}"


def param_of(code: str, asked_in: str | None) -> str | None:
    if OF_PROMPTS.match(code):
        return asked_in
    if code.startswith(SAMPLING):
        return code.removeprefix(SAMPLING).lower().replace("-", "_")
    return PARAMS.get(code)
