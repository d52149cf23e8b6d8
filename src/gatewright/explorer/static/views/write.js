// Write: equations in a paper's notation; what they are appears as one types, and they can be trained at once.

import { latest, post } from "../api.js";
import { count, debounced, diagram, drawn, h } from "../dom.js";
import { editor } from "../editor.js";
import { field, select, trouble } from "../pieces.js";
import { race } from "../race.js";
import { diagramOf } from "../sequence.js";
import { state } from "../store.js";

export const view = {
  id: "write",
  title: "Write",
  lead: "Write a cell as a paper does. Its diagram, its size and its code appear as you type.",
};

const KEPT = "gatewright-equations";
const SIGNS = [["⊙", "times, unit by unit"], ["σ", "a gate"], ["tanh", "a candidate"], ["_t", "this step"], ["_{t-1}", "the step before"]];
const TYPED = 250; // milliseconds of stillness
let app, editing, message, picture, equations, facts, code, charts, sizes, trainButton;

view.mount = (root, given) => {
  app = given;
  message = h("p", { class: "message", id: "equation-message", role: "status" });
  editing = editor({ label: "Equations", describedBy: "equation-message", changed: debounced(again, TYPED) });
  picture = h("div", { class: "diagram" });
  equations = h("div", { class: "written" });
  facts = h("dl", { class: "facts" });
  code = h("div", { class: "codes" });
  charts = race({ flow: false });
  sizes = [h("input", { type: "number", min: 1, max: 512, value: 32, "aria-label": "Inputs", onchange: again }),
    h("input", { type: "number", min: 1, max: 512, value: 64, "aria-label": "Units", onchange: again })];
  trainButton = h("button", { type: "button", class: "primary", title: "Ctrl + Enter", onclick: train }, "Train it");
  editing.area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); train(); }
  });
  const cells = state.model.cells?.filter((cell) => cell.equations) ?? [];
  const begin = select("Start from", [["", "Start from …"], ...cells.map((cell) => [cell.name, cell.title])], "", (name) => {
    const found = cells.find((cell) => cell.name === name);
    if (found) { editing.write(found.equations); again(); }
  });
  root.append(
    h("div", { class: "desk" },
      h("section", { class: "card", "aria-label": "Equations" },
        h("div", { class: "palette" }, cells.length ? begin : null,
          SIGNS.map(([sign, does]) => h("button", { type: "button", class: "quiet sign", title: does, "aria-label": `${sign}: ${does}`, onclick: () => editing.insert(sign) }, sign))),
        editing, message,
        h("div", { class: "controls last" }, field("Inputs", sizes[0]), field("Units", sizes[1]), trainButton)),
      h("section", { class: "card", "aria-label": "The cell" }, picture, facts)),
    charts,
    h("div", { class: "pair" }, h("section", { class: "card", "aria-label": "As a paper prints it" }, h("h2", {}, "As a paper prints it"), equations), code));
  editing.write(localStorage.getItem(KEPT) ?? state.model.equations);
};

view.show = async () => {
  if (picture.childElementCount) return;
  if (editing.read() === state.model.equations) await known();
  again();
};

/** What the model's own cell is, is known before the compiler has answered. */
async function known() {
  const { layers, mathml } = state.model;
  picture.replaceChildren(diagram(await diagramOf(layers[0])));
  if (mathml) equations.replaceChildren(drawn(mathml));
}

view.repaint = () => charts.repaint();

const ask = latest((signal, body) => post("/api/write", body, signal));
const body = () => ({ equations: editing.read(), input_size: Number(sizes[0].value) || 1, hidden_size: Number(sizes[1].value) || 1 });

const again = () => read().catch(app.report);

function announce() {
  view.root.classList.add("waiting");
  message.className = "message";
  message.textContent = "Compiling …";
}

async function read() {
  const waiting = setTimeout(announce, 300); // an answer that takes longer is announced
  const text = editing.read();
  try {
    const answer = await ask(body());
    if (!answer) return; // there are newer equations
    localStorage.setItem(KEPT, text);
    editing.mark(null);
    message.className = "message fine";
    message.textContent = `✓ ${answer.cell}: ${listed("input", answer.inputs)}, ${listed("state", answer.states)}`;
    trainButton.disabled = false;
    paint(answer);
  } catch (problem) {
    if (problem.status === undefined || problem.gone) throw problem;
    refuse(problem);
  } finally {
    clearTimeout(waiting);
    if (text === editing.read()) view.root.classList.remove("waiting");
  }
}

const listed = (word, names) => `${names.length === 1 ? word : `${word}s`} ${names.join(", ")}`;

function refuse(problem) {
  editing.mark(problem);
  trainButton.disabled = true;
  message.className = "message wrong";
  const where = problem.line ? `Line ${problem.line}, column ${problem.column}: ` : "";
  const said = problem.message.replace(/^line \d+, column \d+: /i, "").split("\n")[0];
  message.replaceChildren(h("strong", {}, where), said, problem.remedy ? ` ${problem.remedy}` : "");
  view.root.classList.add("stale");
}

function paint(answer) {
  view.root.classList.remove("stale");
  picture.replaceChildren(answer.svg ? diagram(answer.svg) : h("p", { class: "quiet" }, "The diagram took too long; see the note below."));
  equations.replaceChildren(answer.mathml ? drawn(answer.mathml) : h("pre", {}, answer.latex));
  facts.replaceChildren(...[
    ["parameters", count(answer.parameters)],
    ["a step", answer.step_us === null || answer.step_us === undefined ? "–" : `${answer.step_us.toPrecision(3)} µs`],
    ["states", answer.states.length],
  ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  const opened = new Set([...code.querySelectorAll("details[open]")].map((part) => part.dataset.name));
  const part = (name, title, text) => h("details", { class: "card", "data-name": name, open: opened.has(name) },
    h("summary", {}, title, h("span", { class: "quiet small" }, ` ${count(text.split("\n").length)} lines`)), copy(text), h("pre", { tabindex: 0 }, text));
  code.replaceChildren(
    part("latex", "LaTeX", answer.latex), answer.kernel ? part("kernel", "Generated CPU code", answer.kernel) : "",
    ...(answer.notes ?? []).map((note) => h("p", { class: "quiet small" }, note)));
}

function copy(text) {
  const button = h("button", {
    type: "button", class: "quiet copy",
    onclick: async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1200);
    },
  }, "Copy");
  return button;
}

async function train() {
  if (trainButton.disabled) return;
  try {
    await charts.start(() => post("/api/write/train", { equations: editing.read(), task: "lag" }));
    charts.scrollIntoView({ block: "nearest" });
  } catch (problem) {
    if (problem.line) refuse(problem);
    else message.replaceChildren(trouble(problem));
  }
}
