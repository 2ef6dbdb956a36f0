// What a screen reader reads out: whole sentences as they come, not every token.
import { madeOf } from "./element.js";

const SENTENCE = /^[\s\S]*?(?:[.!?]+\s+|[。！？]+|\n+)/;

export class Speaker {
  #place;
  #rest = "";

  constructor(place) {
    this.#place = place;
  }

  begin() {
    this.#rest = "";
    this.#place.replaceChildren();
  }

  add(text) {
    this.#rest += text;
    for (let found = SENTENCE.exec(this.#rest); found; found = SENTENCE.exec(this.#rest)) {
      this.#rest = this.#rest.slice(found[0].length);
      this.say(found[0]);
    }
  }

  end() {
    this.say(this.#rest);
    this.#rest = "";
  }

  say(words) {
    if (words.trim() === "") return;
    this.#place.append(madeOf("p", "", words));
  }
}
