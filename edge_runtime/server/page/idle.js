// Nobody there any more: counts down where everybody can see it, then starts over. By the clock that nobody can set.
const TICK_MS = 250;
const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel"];

export class Idle {
  #last = performance.now();
  #told = null;

  // `isBusy()`: something is being said; `isUsed()`: there is something to clear away; `tell(seconds)`: left, null for none shown.
  constructor({ resetS, countdownS, isBusy, isUsed, tell, reset }) {
    Object.assign(this, { resetS, countdownS, isBusy, isUsed, tell, reset });
    // While it counts down a sign must be meant: what lies below would be touched by a window that goes at a breath.
    for (const sign of SIGNS) document.addEventListener(sign, () => this.#told ?? this.stay(), { passive: true });
    setInterval(() => this.#tick(), TICK_MS);
  }

  stay() {
    this.#last = performance.now();
    this.#show(null);
  }

  #tick() {
    if (this.isBusy() || !this.isUsed()) {
      this.stay();
      return;
    }
    const leftS = this.resetS - (performance.now() - this.#last) / 1000;
    if (leftS <= 0) {
      this.stay();
      this.reset();
      return;
    }
    this.#show(leftS <= this.countdownS ? Math.ceil(leftS) : null);
  }

  #show(seconds) {
    if (seconds === this.#told) return;
    this.#told = seconds;
    this.tell(seconds);
  }
}
