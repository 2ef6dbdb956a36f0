// The conversation's half of the page: asking, hearing, stopping, and boxes that answers speak of.
import { ApiError } from "./api.js";
import { byId } from "./element.js";
import { TurnView } from "./turn.js";

const BUSY_WAIT_S = 2; // unless the server says
const NEAR_END = 80; // pixels: who scrolled further up is reading

export class Talk {
  #api;
  #conversation;
  #speaker;
  #tell;
  #views = new Map();
  #stopper = null;

  // `tell` is told: `changed()` after every beginning and ending, `point(turn, number)` of boxes, `refused()` for want of a key.
  constructor({ api, conversation, speaker, tell }) {
    this.#api = api;
    this.#conversation = conversation;
    this.#speaker = speaker;
    this.#tell = tell;
  }

  get isBusy() {
    return this.#stopper !== null;
  }

  // Every turn anew.
  draw() {
    this.#views.clear();
    byId("turns").replaceChildren();
    for (const turn of this.#conversation.turns) this.#add(turn);
    if (!this.#conversation.isEmpty) follow();
  }

  stop() {
    this.#stopper?.abort();
  }

  async ask(question) {
    const turn = this.#conversation.begin(question);
    this.#add(turn);
    await this.#answer(turn);
  }

  // The last turn, if it failed.
  async again() {
    const turn = this.#conversation.turns.at(-1);
    if (turn?.state === "failed" && !this.isBusy) await this.#answer(turn);
  }

  async #answer(turn) {
    Object.assign(turn, { state: "asking", answer: "", problem: "", usage: null, timings: null });
    this.#stopper = new AbortController();
    const { signal } = this.#stopper;
    this.#speaker.begin();
    this.#changed(turn);
    follow();
    try {
      await this.#hear(turn, signal);
    } catch (fault) {
      if (signal.aborted) turn.state = "stopped";
      else this.#fail(turn, fault);
    }
    this.#stopper = null;
    this.#speaker.end();
    this.#speaker.say(turn.problem);
    this.#changed(turn);
  }

  async #hear(turn, signal) {
    const { key } = this.#api;
    try {
      await this.#stream(turn, signal);
    } catch (fault) {
      if (fault.status === 429) await this.#wait(turn, Math.ceil(fault.waitS ?? BUSY_WAIT_S), signal);
      else if (fault.status !== 401 || this.#api.key === key) throw fault; // another was typed
      await this.#stream(turn, signal);
    }
  }

  async #stream(turn, signal) {
    const messages = this.#conversation.messagesFor(turn);
    let ending = "done";
    for await (const piece of this.#api.answer(messages, signal)) {
      const isFollowed = isAtEnd();
      if (piece.text) {
        turn.answer += piece.text;
        this.#speaker.add(piece.text);
        this.#tell.point(turn, null);
      }
      if (piece.finish === "length") ending = "cut";
      if (piece.usage) Object.assign(turn, piece);
      this.#views.get(turn)?.later();
      if (isFollowed) requestAnimationFrame(follow);
    }
    turn.state = ending;
  }

  async #wait(turn, seconds, signal) {
    for (let left = seconds; left > 0; left--) {
      const words = `The server is busy. Asking again in ${left} s …`;
      this.#views.get(turn)?.note(words);
      follow();
      if (left === seconds) this.#speaker.say(words);
      await pause(1000, signal);
    }
    this.#views.get(turn)?.note("");
  }

  #fail(turn, fault) {
    turn.state = "failed";
    turn.problem = fault.status === 429 ? busyWords(fault) : fault.message;
    if (!(fault instanceof ApiError)) reportError(fault); // the page's own mistake
    if (fault.status === 401) this.#tell.refused();
  }

  #add(turn) {
    const point = (number) => this.#tell.point(turn, number);
    const view = new TurnView(turn, { point, again: () => this.again() });
    this.#views.set(turn, view);
    byId("turns").append(view.element);
  }

  #changed(turn) {
    const isFollowed = isAtEnd();
    this.#views.get(turn)?.show();
    this.#tell.changed();
    if (isFollowed) follow();
  }
}

function follow() {
  byId("end").scrollIntoView({ block: "end" });
}

function isAtEnd() {
  const scroll = byId("scroll");
  const limit = Math.min(scroll.getBoundingClientRect().bottom, window.innerHeight);
  return byId("end").getBoundingClientRect().top <= limit + NEAR_END;
}

function busyWords(fault) {
  const when = fault.waitS === null ? "in a while" : `in ${Math.ceil(fault.waitS)} s`;
  return `${fault.message} It is still busy: try again ${when}.`;
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    const leave = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
  });
}
