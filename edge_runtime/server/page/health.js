// Whether questions are answered, asked for again and again, and said in words.
import { sentenceOf } from "./api.js";

const READY_MS = 5000;
const DOWN_MS = 2000;
const PATIENCE_MS = 4000;
const WORDS = {
  starting: "The engine is starting.",
  restarting: "The engine ended and is starting again.",
  draining: "The server is about to end.",
  failed: "The engine cannot be started.",
  unreachable: "The server cannot be reached.",
};
const HOPES = {
  starting: "You can ask as soon as it is ready.",
  failed: "It does not come back by itself.",
};
const HOPE = "You can ask again as soon as it is back.";

export class Health {
  isReady = false;
  #timer = 0;
  #looks = 0;
  #tell;

  // `tell(condition, words)` after every look.
  constructor(tell) {
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  async look() {
    const look = ++this.#looks;
    const { status, why } = await seen();
    if (look !== this.#looks) return; // a later one says what is newer
    this.isReady = status === "ready";
    this.#tell(status, wordsOf(status, why));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), this.isReady ? READY_MS : DOWN_MS);
  }
}

async function seen() {
  try {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch("/health/ready", { cache: "no-store", credentials: "omit", signal });
    const { status, why } = await response.json();
    return { status: response.ok ? "ready" : status, why };
  } catch {
    return { status: "unreachable", why: "" }; // no answer, or none of ours
  }
}

function wordsOf(status, why) {
  if (status === "ready") return "Ready";
  const what = why ? sentenceOf(why) : (WORDS[status] ?? "The engine answers no questions now.");
  return `${what} ${HOPES[status] ?? HOPE}`;
}
