// The overlay that lists the keys.

import { h } from "./dom.js";

const LISTED = [
  ["Anywhere", [["1 … 5", "the five views"], ["/", "into the text or the editor; Esc leaves it"], ["d", "light, dark, as the system"], ["?", "this list"]]],
  ["In a sequence", [["← →", "a step back, a step on"], ["Home End", "the first step, the last"], ["[ ]", "the unit before, the next"]]],
  ["Walk", [["space", "play, pause"], ["↓ ↑", "the parts of a step, one by one"]]],
  ["Look", [["+ −", "zoom in, out, around the step"], ["0", "the whole sequence"], ["Ctrl + wheel", "zoom at the pointer; drag to zoom into a range"]]],
  ["Write", [["Ctrl + Enter", "train it"]]],
];

export function openHelp() {
  const dialog = document.querySelector("#help");
  if (!dialog.childElementCount) {
    dialog.append(
      h("h2", { id: "help-title" }, "Keys"),
      h("div", { class: "keys" }, LISTED.map(([title, keys]) =>
        h("section", {}, h("h3", {}, title), h("dl", {}, keys.map(([key, does]) =>
          h("div", {}, h("dt", {}, key.split(" ").map((k) => (k === "…" || (k === "+" && key.startsWith("Ctrl")) ? ` ${k} ` : h("kbd", {}, k)))), h("dd", {}, does))))))),
      h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
  dialog.showModal();
}
