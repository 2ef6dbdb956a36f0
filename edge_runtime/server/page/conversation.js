// What was asked and answered about one picture, and how it is sent and kept.
const TURNS_KEY = "edge-vl turns 1"; // the number of the form they are kept in
const PICTURE_KEY = "edge-vl picture 1";

// A turn is {question, answer, state, problem, usage, timings}; its state is asking, done, cut, stopped or failed.
export class Conversation {
  turns = [];
  picture = null; // {url, name, bytes, width, height}
  lost = null; // the bytes of a picture that a reload took away
  #from = 0; // the turn that the picture was there for first
  #kept = null; // the picture that was last tried to be kept
  #isKept = true;
  #storage;

  // Without a storage nothing is kept over a reload.
  constructor(storage) {
    this.#storage = storage;
  }

  get isEmpty() {
    return this.turns.length === 0;
  }

  // A picture begins a conversation, unless there was none yet, or a reload lost the same one. True: it is a new one.
  show(picture) {
    const isNew = !this.isEmpty && (this.lost ? this.lost !== picture.bytes : this.picture !== null);
    if (isNew) this.turns = [];
    if (isNew || !this.lost) this.#from = this.turns.length;
    this.picture = picture;
    this.lost = null;
    return isNew;
  }

  clear() {
    this.turns = [];
    this.picture = null;
    this.lost = null;
    this.#from = 0;
    this.keep();
  }

  begin(question) {
    const turn = { question, answer: "", state: "asking", problem: "", usage: null, timings: null };
    this.turns.push(turn);
    return turn;
  }

  // The whole of it up to `turn`, in the API's words. What was never answered is left out.
  messagesFor(turn) {
    const messages = [];
    let isShown = this.picture === null;
    for (const [index, each] of this.turns.entries()) {
      if (each !== turn && !each.answer) continue;
      const withPicture = !isShown && index >= this.#from;
      isShown ||= withPicture;
      messages.push({ role: "user", content: withPicture ? this.#seen(each.question) : each.question });
      if (each === turn) return messages;
      messages.push({ role: "assistant", content: each.answer });
    }
    throw new Error("a turn of another conversation");
  }

  #seen(question) {
    return [
      { type: "image_url", image_url: { url: this.picture.url } },
      { type: "text", text: question },
    ];
  }

  // False: the picture was too big to be kept, and only the words are.
  keep() {
    if (this.#storage === null) return true;
    if (this.#kept !== this.picture) {
      this.#storage.removeItem(PICTURE_KEY);
      this.#isKept = this.picture === null || this.#set(PICTURE_KEY, this.picture);
      this.#kept = this.picture;
    }
    const turns = this.turns.map((turn) => (turn.state === "asking" ? { ...turn, state: "stopped" } : turn));
    const bytes = this.picture?.bytes ?? this.lost;
    return this.#set(TURNS_KEY, { turns, from: this.#from, bytes }) && this.#isKept;
  }

  restore() {
    const kept = this.#get(TURNS_KEY);
    if (!kept) return;
    this.turns = kept.turns;
    this.#from = kept.from;
    this.picture = this.#get(PICTURE_KEY);
    this.lost = this.picture ? null : kept.bytes;
    this.#kept = this.picture;
  }

  #set(key, value) {
    try {
      this.#storage.setItem(key, JSON.stringify(value));
      return true;
    } catch (fault) {
      if (fault.name !== "QuotaExceededError") throw fault;
      return false;
    }
  }

  #get(key) {
    return JSON.parse(this.#storage?.getItem(key) ?? "null");
  }
}
