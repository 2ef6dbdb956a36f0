// Puts the page together: settings first, then its halves, then the engine is watched.
import { Api, ApiError } from "./api.js";
import { Conversation } from "./conversation.js";
import { byId } from "./element.js";
import { Health } from "./health.js";
import { becomeKiosk } from "./kiosk.js";
import { Look } from "./look.js";
import { Speaker } from "./speaker.js";
import { Talk } from "./talk.js";

const AGAIN_MS = 2000;
const LOST = "The picture was too big to be kept over the reload. Add it again to go on asking about it.";
const BIG = "This picture is too big to be kept if the page is reloaded.";
const BARRED = "This server wants a key, and none can be typed here. Please tell whoever runs this screen.";

class Page {
  #api;
  #settings;
  #conversation;
  #look;
  #talk;
  #isBarred = false; // a kiosk without the key that the server wants
  #health = new Health((condition, words) => this.#condition(condition, words));

  constructor(api, settings) {
    this.#api = api;
    this.#settings = settings;
    this.#conversation = new Conversation(settings.kiosk ? null : storage());
    this.#look = new Look({
      canPick: !settings.kiosk || settings.can_pick,
      tell: { took: (picture) => this.#took(picture), removed: () => this.#removed() },
    });
    this.#talk = new Talk({
      api,
      conversation: this.#conversation,
      speaker: new Speaker(byId("said")),
      tell: {
        changed: () => this.#changed(),
        point: (turn, number) => this.#point(turn, number),
        refused: () => this.#refused(),
      },
    });
    this.#listen();
  }

  start() {
    if (this.#settings.kiosk) this.#beKiosk();
    else this.#restore();
    document.querySelector("main").hidden = false;
    this.#arrange();
    this.#health.look();
  }

  #beKiosk() {
    document.title = byId("title").textContent = this.#settings.title;
    becomeKiosk(this.#settings, {
      ask: (question) => this.#ask(question),
      isBusy: () => this.#talk.isBusy,
      isUsed: () => this.#isUsed,
      reset: () => this.#fresh(),
    });
    if (this.#settings.is_camera_first) this.#look.openCamera();
  }

  #ask(question) {
    if (question.trim() === "" || !this.#canAsk) return false;
    this.#talk.ask(question.trim());
    return true;
  }

  get #canAsk() {
    return this.#health.isReady && !this.#isBarred && !this.#talk.isBusy && byId("access").hidden;
  }

  #changed() {
    this.#arrange();
    if (this.#talk.isBusy) return;
    this.#keep();
    if (this.#conversation.turns.at(-1)?.state === "failed") this.#health.look(); // that may be why
  }

  #arrange() {
    const { isBusy } = this.#talk;
    const { isEmpty } = this.#conversation;
    const hadFocus = document.activeElement;
    const [ask, stop] = [byId("ask"), byId("stop")];
    stop.hidden = !isBusy;
    ask.hidden = isBusy;
    ask.disabled = !this.#canAsk;
    for (const preset of byId("presets").children) preset.disabled = !this.#canAsk || !this.#look.hasPicture;
    byId("fresh").hidden = this.#settings.kiosk ? !this.#isUsed : isEmpty;
    document.documentElement.classList.toggle("talking", !isEmpty);
    byId("hint").hidden = !isEmpty;
    this.#look.allowRemoval(isEmpty);
    if (isBusy && (hadFocus === ask || byId("presets").contains(hadFocus))) stop.focus();
    if (!isBusy && hadFocus === stop) (this.#settings.kiosk ? byId("presets").firstElementChild : ask).focus();
  }

  get #isUsed() {
    return !this.#conversation.isEmpty || this.#look.hasPicture || byId("question").value !== "";
  }

  #point(turn, number) {
    const shown = number === null ? this.#conversation.turns.at(-1) : turn;
    this.#look.draw(shown?.answer ?? "", number);
  }

  #took(picture) {
    this.#talk.stop();
    if (this.#conversation.show(picture)) this.#look.note("A new picture: a new conversation.");
    this.#drawn();
    const next = this.#settings.kiosk ? byId("presets").firstElementChild : byId("question");
    if (matchMedia("(pointer: fine)").matches) next?.focus();
  }

  #removed() {
    this.#conversation.clear();
    this.#look.note("");
    this.#drawn();
    byId("choose").focus();
  }

  // The picture stays, but not in a kiosk: the next visitor is someone else.
  #fresh() {
    this.#talk.stop();
    const { picture } = this.#conversation;
    this.#conversation.clear();
    if (!this.#settings.kiosk && picture) this.#conversation.show(picture);
    byId("question").value = "";
    this.#look.note("");
    this.#drawn();
    if (!this.#settings.kiosk) byId("question").focus();
    else if (this.#settings.is_camera_first) this.#look.openCamera();
    else this.#look.closeCamera();
  }

  #drawn() {
    this.#look.show(this.#conversation.picture);
    this.#talk.draw();
    this.#changed();
  }

  #restore() {
    this.#conversation.restore();
    this.#drawn();
    this.#point(null, null);
    if (this.#conversation.lost) this.#look.note(LOST);
  }

  #keep() {
    const isKept = this.#conversation.keep();
    byId("kept").textContent = isKept || !this.#conversation.picture ? "" : BIG;
  }

  #condition(condition, words) {
    const place = byId("engine");
    const isNews = place.dataset.condition !== condition;
    if (isNews && condition === "ready") this.#greet();
    if (this.#isBarred) [condition, words] = ["barred", BARRED];
    place.dataset.condition = condition;
    if (place.lastElementChild.textContent !== words) place.lastElementChild.textContent = words;
    this.#arrange();
  }

  async #greet() {
    const { key } = this.#api;
    try {
      byId("model").textContent = await this.#api.findModel();
      if (this.#isBarred) this.#health.look();
      this.#isBarred = false;
      return true;
    } catch (fault) {
      if (!(fault instanceof ApiError)) throw fault;
      if (key !== this.#api.key) return false; // another was typed
      if (fault.status === 401) this.#refused();
      else byId("access-note").textContent = fault.message;
      return false;
    }
  }

  #refused() {
    if (this.#settings.kiosk) {
      this.#isBarred = true;
      this.#condition("barred", BARRED);
      return;
    }
    const wasTried = this.#api.key !== "";
    this.#api.key = "";
    byId("access-note").textContent = wasTried
      ? "The server did not take that key. Try another one."
      : "This server answers only with a key. It is kept in this page’s memory and nowhere else.";
    this.#lock(true);
    this.#arrange();
    byId("key").focus();
    requestAnimationFrame(() => byId("access").scrollIntoView({ block: "end" })); // below the refusal
  }

  #lock(isLocked) {
    byId("access").hidden = !isLocked;
    byId("asking").hidden = isLocked;
  }

  async #unlock() {
    this.#api.key = byId("key").value.trim();
    byId("key").value = "";
    if (!(await this.#greet())) return;
    this.#lock(false);
    this.#arrange();
    byId("question").focus();
    this.#talk.again();
  }

  #listen() {
    const question = byId("question");
    on(byId("asking"), "submit", () => {
      if (this.#ask(question.value)) question.value = "";
      else question.focus();
    });
    on(byId("access"), "submit", () => this.#unlock());
    byId("stop").addEventListener("click", () => this.#talk.stop());
    byId("fresh").addEventListener("click", () => this.#fresh());
    question.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId("asking").requestSubmit();
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#talk.stop());
    addEventListener("pagehide", () => this.#keep());
  }
}

function on(form, kind, act) {
  form.addEventListener(kind, (event) => {
    event.preventDefault();
    act();
  });
}

// Browsers may forbid it; then nothing is kept.
function storage() {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

async function begin() {
  const api = new Api();
  try {
    new Page(api, await api.settings()).start();
  } catch (fault) {
    if (!(fault instanceof ApiError)) throw fault;
    byId("engine").lastElementChild.textContent = `${fault.message} Trying again …`;
    setTimeout(begin, AGAIN_MS);
  }
}

begin();
