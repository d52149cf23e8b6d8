// Compare: cells on one task that needs a long memory; the gradient flow while they train.

import { post } from "../api.js";
import { h } from "../dom.js";
import { field, trouble } from "../pieces.js";
import { race } from "../race.js";
import { state } from "../store.js";

export const view = {
  id: "compare",
  title: "Compare",
  lead: "The same long-memory task for each: who remembers, and where does the gradient go?",
};

const WITHOUT_LIST = ["rnn", "lstm", "gru"].map((name) => ({ name, title: name.toUpperCase() }));
const SHOWN = ["rnn", "lstm", "gru", "cifg", "mgu", "mingru", "slstm", "own"];
const MOST = 4;
let chosen, lag, seed, charts, problem, startButton;

view.mount = (root) => {
  chosen = new Set(["rnn", "lstm"]);
  problem = h("div", { class: "problem" });
  const said = h("output", { class: "where" }, "40 steps");
  lag = h("input", { type: "range", min: 10, max: 200, step: 10, value: 40, "data-first": true, "aria-label": "Lag in steps", oninput: () => (said.textContent = `${lag.value} steps`) });
  seed = h("input", { type: "number", min: 0, max: 9999, value: 0, "aria-label": "Seed of the run" });
  startButton = h("button", { type: "submit", class: "primary" }, "Train them");
  charts = race();
  root.append(
    h("form", { class: "card", onsubmit: (event) => { event.preventDefault(); start(); } },
      h("h2", {}, "Remember the first symbol"),
      h("p", { class: "quiet" }, "A symbol is shown once, then come distractors. At the end the cell must say which symbol it was: the loss is there and nowhere else."),
      h("fieldset", {}, h("legend", {}, `Cells (up to ${MOST})`), ...ticks()),
      h("div", { class: "controls last" },
        h("label", { class: "field grow" }, h("span", {}, "Distractors"), lag, said), field("Seed", seed), startButton),
      problem),
    charts,
    h("p", { class: "empty" }, "Train them: their curves appear here as they learn."));
};

view.repaint = () => charts.repaint();

function offered() {
  const own = localStorage.getItem("gatewright-equations");
  const cells = state.model.cells ?? WITHOUT_LIST;
  return [...cells, ...(own ? [{ name: "own", title: "mine, from Write", equations: own }] : [])];
}

/** The best known, and the others behind a click. */
function ticks() {
  const all = offered();
  const first = all.filter(({ name }) => SHOWN.includes(name));
  const others = all.filter(({ name }) => !SHOWN.includes(name));
  return [h("div", { class: "ticks" }, first.map(tick)),
    others.length ? h("details", { class: "others" }, h("summary", {}, `${others.length} more cells`), h("div", { class: "ticks" }, others.map(tick))) : ""];
}

function tick({ name, title }) {
  const box = h("input", {
    type: "checkbox", checked: chosen.has(name), value: name,
    onchange: () => {
      if (box.checked) chosen.add(name);
      else chosen.delete(name);
      startButton.disabled = chosen.size === 0 || chosen.size > MOST;
    },
  });
  return h("label", { class: "tick" }, box, title);
}

async function start() {
  problem.replaceChildren();
  const cells = [...chosen].map((name) => (name === "own" ? localStorage.getItem("gatewright-equations") : name));
  try {
    await charts.start(() => post("/api/compare", { cells, lag: Number(lag.value), seed: Number(seed.value) || 0 }));
  } catch (error) {
    problem.replaceChildren(trouble(error));
  }
}
