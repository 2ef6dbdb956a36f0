// One question and its answer, on the page.
import { showText } from "./boxes.js";
import { costOf } from "./cost.js";
import { madeOf } from "./element.js";

const ENDINGS = { stopped: "Stopped.", cut: "The answer was cut off: it reached the most tokens it may have." };

export class TurnView {
  element = document.createElement("li");
  #turn;
  #point;
  #answer = madeOf("div", "answer");
  #note = madeOf("p", "note");
  #again = madeOf("button", "quiet", "Try again");
  #drawn = false;

  // `point(number)`: a box of this answer is pointed at; `again()`: it is to be asked once more.
  constructor(turn, { point, again }) {
    this.#turn = turn;
    this.#point = point;
    this.#again.type = "button";
    this.#again.addEventListener("click", again);
    this.element.append(madeOf("p", "question", turn.question), this.#answer, this.#note, this.#again);
    this.show();
  }

  // At most once a frame, while it streams.
  later() {
    if (this.#drawn) return;
    this.#drawn = true;
    requestAnimationFrame(() => this.#drawn && this.show());
  }

  show() {
    const { answer, state, problem, usage, timings } = this.#turn;
    this.#drawn = false;
    this.element.dataset.state = state;
    const text = state === "done" && answer.trim() === "" ? "(The answer is empty.)" : answer.trimStart();
    showText(this.#answer, text, this.#point);
    this.note(problem || ENDINGS[state] || "");
    this.#again.hidden = state !== "failed";
    this.element.querySelector(".cost")?.remove();
    if (usage) this.element.append(costOf(usage, timings));
  }

  note(words) {
    this.#note.textContent = words;
    this.#note.hidden = words === "";
  }
}
