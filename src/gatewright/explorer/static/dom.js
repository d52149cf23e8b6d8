// Elements without a framework.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [name, v] of Object.entries(value)) element.style.setProperty(name, v);
    else if (key === "value" || key === "checked" || key === "hidden") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** `h("button", {class: "quiet", onclick: f}, "Stop")` */
export const h = (tag, props = {}, ...children) => fill(document.createElement(tag), props, children);

/** The same for the elements of a picture. */
export const s = (tag, props = {}, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** Markup that the server drew itself, as SVG or MathML: parsed as XML, with nothing in it that runs. */
export function drawn(text) {
  const root = new DOMParser().parseFromString(text, "application/xml").documentElement;
  if (root.querySelector("parsererror") || root.localName === "parsererror") return document.createTextNode("");
  for (const risky of root.querySelectorAll("script, foreignObject")) risky.remove();
  return document.importNode(root, true);
}

/** The diagram of a cell, as wide as there is room; a broad one may be scrolled on a phone. */
export function diagram(text) {
  const picture = drawn(text);
  if (picture.viewBox?.baseVal.width > 640) picture.classList.add("broad");
  return picture;
}

/** Calls `f` once things have been still for `wait` milliseconds. */
export function debounced(f, wait) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...given), wait);
  };
}

/** A number in a few letters: −0.04, 12, 3e−7. */
export function short(value) {
  if (value === null || value === undefined) return "∞";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text =
    size >= 9999.5 || (size > 0 && size < 0.0005)
      ? value.toExponential(0).replace("e+", "e")
      : value.toFixed(size < 99.95 ? 2 : 0);
  return (/^-0\.?0*$/.test(text) ? text.slice(1) : text).replaceAll("-", "−");
}

export const count = (n) => n.toLocaleString("en").replaceAll(",", "\u202f");
