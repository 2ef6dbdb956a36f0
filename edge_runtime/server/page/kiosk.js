// The page on a screen in a public place: preset questions, nothing typed that need not be, and nobody's traces left.
import { byId, madeOf } from "./element.js";
import { Idle } from "./idle.js";

// `ask(question)`, `isBusy()`, `isUsed()` and `reset()` are the page's.
export function becomeKiosk(settings, page) {
  document.documentElement.classList.add("kiosk");
  byId("fresh").textContent = "Start over";
  byId("hint").textContent = "Take a picture, then touch a question.";
  byId("presets").hidden = false;
  byId("presets").append(...settings.questions.map((question) => presetOf(question, page.ask)));
  byId("asking").hidden = !settings.can_type;
  if (!settings.can_type) byId("presets").after(byId("stop"));
  document.addEventListener("contextmenu", (event) => event.preventDefault());
  watch(settings, page);
}

function presetOf(question, ask) {
  const preset = madeOf("button", "", question);
  preset.type = "button";
  preset.addEventListener("click", () => ask(question));
  return preset;
}

function watch(settings, { isBusy, isUsed, reset }) {
  const { idle_reset_s: resetS, countdown_s: countdownS } = settings;
  const dialog = byId("idle");
  byId("idle-left").max = countdownS;
  const tell = (seconds) => {
    if (seconds === null) dialog.close();
    else if (!dialog.open) dialog.showModal();
    byId("idle-count").textContent = `Starting over in ${seconds} s`;
    byId("idle-left").value = seconds ?? 0;
  };
  const idle = new Idle({ resetS, countdownS, isBusy, isUsed, reset, tell });
  for (const sign of ["click", "keydown"]) dialog.addEventListener(sign, () => idle.stay());
}
