// Boxes in answers, "[left,top,right,bottom]", each 0 to 999, of the square that the model sees.
import { madeOf } from "./element.js";

const SIDE = String.raw`\s*([0-9]{1,3})\s*`;
const BOX = new RegExp(String.raw`\[${[SIDE, SIDE, SIDE, SIDE].join(",")}\]`, "g");
const SCALE = 1000;
const COLOURS = 6;

// Every box, with where it stands in the text.
export function boxesIn(text) {
  const found = [];
  for (const match of text.matchAll(BOX)) {
    const [left, top, right, bottom] = match.slice(1).map(Number);
    if (left < right && top < bottom) found.push({ start: match.index, text: match[0], left, top, right, bottom });
  }
  return found;
}

// In shares of the picture. The model's square is as wide as the picture's longer side, the picture lies in its middle.
export function placeOf(box, width, height) {
  const longer = Math.max(width, height);
  const along = (at, side) => Math.min(1, Math.max(0, ((at / SCALE) * longer - (longer - side) / 2) / side));
  const [left, top] = [along(box.left, width), along(box.top, height)];
  return { left, top, width: along(box.right, width) - left, height: along(box.bottom, height) - top };
}

// An answer's words, with each box as something that can be pointed at; `point(number)` is told where, null for nowhere.
export function showText(place, text, point) {
  const parts = [];
  let from = 0;
  for (const [index, box] of boxesIn(text).entries()) {
    parts.push(text.slice(from, box.start), markOf(box, index, point));
    from = box.start + box.text.length;
  }
  place.replaceChildren(...parts, text.slice(from));
}

function markOf(box, index, point) {
  const mark = madeOf("button", `mark colour-${index % COLOURS}`, box.text);
  mark.type = "button";
  mark.setAttribute("aria-label", `Box ${index + 1}: ${box.text}, show it in the picture`);
  for (const kind of ["pointerenter", "focus", "click"]) mark.addEventListener(kind, () => point(index));
  for (const kind of ["pointerleave", "blur"]) mark.addEventListener(kind, () => point(null));
  return mark;
}

// The boxes of a text, over a picture of this size; `pointed` is the number of the one that stands out.
export function drawBoxes(place, text, width, height, pointed = null) {
  const drawn = boxesIn(text).map((box, index) => {
    const { left, top, width: wide, height: high } = placeOf(box, width, height);
    const shape = madeOf("div", `box colour-${index % COLOURS}${pointed === index ? " pointed" : ""}`);
    shape.dataset.number = String(index + 1);
    const sides = { left, top, width: wide, height: high };
    for (const [side, share] of Object.entries(sides)) shape.style[side] = `${share * 100}%`;
    return shape;
  });
  place.replaceChildren(...drawn);
}
