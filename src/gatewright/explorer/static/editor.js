// A textarea with numbers of lines, and an underline where an equation is wrong.

import { h } from "./dom.js";

/** `changed()` is called at every key. */
export function editor({ label, describedBy, changed }) {
  const area = h("textarea", {
    "aria-label": label, "aria-describedby": describedBy, spellcheck: "false", autocapitalize: "off", autocomplete: "off",
    wrap: "off", rows: 11, "data-first": true, oninput: () => { mark(null); numbers(); changed(); },
  });
  const gutter = h("pre", { class: "gutter", "aria-hidden": "true" });
  const under = h("pre", { class: "under", "aria-hidden": "true" });
  const box = h("div", { class: "editor" }, gutter, h("div", { class: "lines" }, under, area));
  area.addEventListener("scroll", () => {
    under.scrollLeft = area.scrollLeft;
    under.scrollTop = gutter.scrollTop = area.scrollTop;
  });

  function numbers() {
    const lines = area.value.split("\n").length;
    gutter.textContent = Array.from({ length: lines }, (_, k) => k + 1).join("\n");
  }

  /** Underlines the word at a line and a column, both counted from 1. */
  function mark(error) {
    const wrong = error?.line !== null && error?.line !== undefined;
    area.setAttribute("aria-invalid", Boolean(error));
    under.replaceChildren();
    if (!wrong) return;
    const lines = area.value.split("\n");
    const line = lines[error.line - 1] ?? "";
    const from = Math.min(Math.max((error.column ?? 1) - 1, 0), line.length);
    const word = line.slice(from).match(/^(?:[\p{L}\p{N}_]+(?:\{[^}]*\})?|\S|\s+)/u)?.[0] ?? " ";
    const before = [...lines.slice(0, error.line - 1), line.slice(0, from)].join("\n");
    const after = [line.slice(from + word.length), ...lines.slice(error.line)].join("\n");
    under.append(before, h("mark", { "data-line": error.line, "data-column": error.column }, word), after);
    under.scrollLeft = area.scrollLeft;
  }

  const write = (value) => {
    area.value = value;
    numbers();
    mark(null);
  };
  /** At the caret, in place of what is selected. */
  const insert = (piece) => {
    area.focus();
    area.setRangeText(piece, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input"));
  };
  return Object.assign(box, { area, mark, write, insert, read: () => area.value });
}
