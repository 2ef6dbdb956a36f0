// Where an answer's time went: a bar of its stages, and what it comes to in tokens.
import { madeOf } from "./element.js";

const WORDS = {
  queue: "Waiting for its turn",
  decode_image: "Opening the picture",
  preprocess: "Preparing it",
  vision: "Looking",
  prefill: "Reading the question",
  decode: "Writing",
  other: "Everything else",
};
const STAGES = Object.keys(WORDS);
const LEAST_OTHER = 0.01; // a share of the whole that is worth a word

// [name, ms] of each stage that took any time, in their order.
export function stagesOf(timings) {
  const known = STAGES.filter((name) => timings[name] > 0).map((name) => [name, timings[name]]);
  const rest = (timings.total ?? 0) - known.reduce((sum, [, ms]) => sum + ms, 0);
  if (rest > LEAST_OTHER * timings.total) known.push(["other", rest]);
  return known;
}

export function shownMs(ms) {
  if (ms >= 9950) return `${(ms / 1000).toFixed(0)} s`;
  if (ms >= 995) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
}

export function costOf(usage, timings) {
  const cost = madeOf("details", "cost");
  const summary = madeOf("summary", "");
  const stages = stagesOf(timings);
  summary.append(barOf(stages), madeOf("span", "figures", figuresOf(usage, timings).join(" · ")));
  cost.append(summary, legendOf(stages));
  return cost;
}

function figuresOf(usage, timings) {
  const said = usage.completion_tokens ?? 0;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const figures = timings.total > 0 ? [shownMs(timings.total)] : [];
  if (timings.decode > 0 && said > 0) figures.push(`${((said / timings.decode) * 1000).toFixed(1)} tokens/s`);
  figures.push(said === 1 ? "1 token said" : `${said} tokens said`);
  figures.push(`${cached} of ${usage.prompt_tokens ?? 0} prompt tokens cached`);
  return figures;
}

function barOf(stages) {
  const bar = madeOf("span", "bar");
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", stages.map(([name, ms]) => `${WORDS[name]} ${shownMs(ms)}`).join(", "));
  for (const [name, ms] of stages) {
    const part = madeOf("span", `stage ${name}`);
    part.style.flexGrow = String(ms);
    part.title = `${WORDS[name]}: ${shownMs(ms)}`;
    bar.append(part);
  }
  return bar;
}

function legendOf(stages) {
  const list = madeOf("dl", "");
  for (const [name, ms] of stages) {
    const row = madeOf("div", "");
    const word = madeOf("dt", "", WORDS[name]);
    word.prepend(madeOf("span", `stage ${name}`));
    row.append(word, madeOf("dd", "", shownMs(ms)));
    list.append(row);
  }
  return list;
}
