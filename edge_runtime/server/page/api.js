// The server's API, as far as the page needs it.
import { dataFrom } from "./sse.js";

// `waitS`: how long the server wants to be left alone; null where it did not say.
export class ApiError extends Error {
  constructor(message, status = 0, waitS = null) {
    super(sentenceOf(message));
    this.status = status;
    this.waitS = waitS;
  }
}

// The server's words are halves of sentences.
export function sentenceOf(words) {
  const whole = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}

export class Api {
  key = ""; // in memory only
  model = null;

  async settings() {
    return this.#json(await this.#fetch("/page/settings.json"));
  }

  // The model that answers; asked for again after a restart, since it may be another one.
  async findModel(signal) {
    const { data } = await this.#json(await this.#fetch("/v1/models", { signal }));
    this.model = data[0].id;
    return this.model;
  }

  // {text}, {finish}, and at the end {usage, timings}; an ApiError says what went wrong, in words for people.
  async *answer(messages, signal) {
    const model = this.model ?? (await this.findModel(signal));
    const asked = { model, messages, stream: true, stream_options: { include_usage: true } };
    const response = await this.#fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(asked),
      signal,
    });
    if (!response.ok) throw await errorFrom(response);
    yield* piecesOf(response.body, signal);
  }

  async #fetch(path, { headers = {}, ...rest } = {}) {
    const own = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    try {
      return await fetch(path, { ...rest, headers: { ...headers, ...own }, cache: "no-store", credentials: "omit" });
    } catch (fault) {
      throw lostOr(fault, "The server cannot be reached.", rest.signal);
    }
  }

  async #json(response) {
    if (!response.ok) throw await errorFrom(response);
    return response.json();
  }
}

async function* piecesOf(body, signal) {
  let isOver = false;
  try {
    for await (const data of dataFrom(body)) {
      if (data === "[DONE]") {
        isOver = true;
        break;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(chunk.error.message);
      const choice = chunk.choices?.[0];
      if (choice?.delta?.content) yield { text: choice.delta.content };
      if (choice?.finish_reason) yield { finish: choice.finish_reason };
      if (chunk.usage) yield { usage: chunk.usage, timings: chunk.timings_ms ?? {} };
    }
  } catch (fault) {
    throw lostOr(fault, "The connection broke off before the answer was complete.", signal);
  }
  if (!isOver) throw new ApiError("The connection broke off before the answer was complete.");
}

function lostOr(fault, words, signal) {
  return fault instanceof ApiError || signal?.aborted ? fault : new ApiError(words);
}

async function errorFrom(response) {
  let message = "";
  try {
    message = (await response.json()).error?.message ?? "";
  } catch {
    // something between us and the server answered, and not in JSON
  }
  const header = Number.parseFloat(response.headers.get("Retry-After"));
  const waitS = Number.isFinite(header) && header >= 0 ? header : null;
  return new ApiError(message || `The server answered with status ${response.status}.`, response.status, waitS);
}
