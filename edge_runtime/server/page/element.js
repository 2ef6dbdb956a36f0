export function byId(id) {
  return document.getElementById(id);
}

// Text is only ever text here, whoever wrote it.
export function madeOf(kind, name, text = "") {
  const element = document.createElement(kind);
  element.className = name;
  element.textContent = text;
  return element;
}
