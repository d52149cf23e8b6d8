// A training job and its charts, live: the loss, the accuracy, and how the gradient flows back through time.

import { listen, post } from "./api.js";
import { lineChart } from "./chart.js";
import { h } from "./dom.js";
import { percent, trouble } from "./pieces.js";

/** Charts that follow one job at a time; `start(ask)` begins another. `flow`: whether the gradient is drawn. */
export function race({ flow = true, onend = () => {} } = {}) {
  const loss = lineChart({ title: "Loss", x: "update", y: "cross-entropy", height: 230 });
  const accuracy = lineChart({ title: "Accuracy", x: "update", y: "share right", height: 230, range: [0, 1] });
  const gradient = lineChart({
    title: "Gradient flow, now", x: "step of the sequence", y: "|∂loss / ∂hₜ|", log: true, height: 250,
    note: "The loss is at the last step. A line that falls to the left says how little the first steps are learned from.",
  });
  const status = h("p", { class: "status", role: "status" });
  const progress = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const stop = h("button", { type: "button", class: "quiet", onclick: halt }, "Stop");
  const box = h("div", { class: "race", hidden: true },
    h("div", { class: "controls" }, progress, stop, status),
    h("div", { class: "pair" }, h("div", { class: "card" }, loss), h("div", { class: "card" }, accuracy)),
    flow ? h("div", { class: "card" }, gradient) : null);
  let [job, source, cells, waiting, updates] = [null, null, new Map(), false, 0];

  box.start = async (ask) => {
    await halt();
    [cells, updates] = [new Map(), 0];
    box.hidden = false;
    box.dataset.state = "running";
    [progress.value, stop.hidden, status.textContent] = [0, false, "Starting …"];
    draw();
    try {
      const answer = await ask();
      job = answer.job;
      for (const label of answer.labels ?? []) cells.set(label, { loss: [], accuracy: [], flow: [] });
      source = listen(job, hear);
    } catch (problem) {
      box.hidden = true;
      box.dataset.state = "failed";
      throw problem;
    }
  };
  box.halt = halt;
  box.repaint = () => [loss, accuracy, gradient].forEach((chart) => chart.repaint());

  async function halt() {
    source?.close();
    if (job) await post(`/api/jobs/${encodeURIComponent(job)}/stop`).catch(() => {}); // it may have ended meanwhile
    if (job) finish("Stopped.");
  }

  function hear(told) {
    if (told.kind === "progress") {
      const lines = cells.get(told.cell) ?? { loss: [], accuracy: [], flow: [] };
      cells.set(told.cell, lines);
      lines.loss.push([told.update, told.loss]);
      lines.accuracy.push([told.update, told.accuracy]);
      const norms = Array.isArray(told.flow) ? told.flow : (told.flow?.h ?? Object.values(told.flow ?? {})[0]);
      if (norms) lines.flow = norms.map((v, t) => [t, v]);
      updates = told.updates ?? updates;
      progress.value = told.updates ? told.update / told.updates : 0;
      status.textContent = `Update ${told.update}${told.updates ? ` of ${told.updates}` : ""}`;
      later();
    } else if (told.kind === "done" && !told.cell) finish(verdict());
    else if (told.kind === "stopped") finish("Stopped.");
    else if (told.kind === "error") {
      finish("");
      status.replaceChildren(trouble(told));
    }
  }

  /** At most once a frame, however fast events come. */
  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }

  function draw() {
    const lines = (key) => [...cells].map(([name, found]) => ({ name, points: found[key] }));
    const whole = updates ? [0, updates] : null;
    loss.show(lines("loss"), whole);
    accuracy.show(lines("accuracy"), whole);
    if (flow) gradient.show(lines("flow"));
  }

  function finish(text) {
    [job, updates] = [null, 0]; // cells may learn sooner: the axis ends where they did
    stop.hidden = true;
    progress.value = 1;
    status.textContent = text;
    box.dataset.state = "done";
    draw();
    onend();
  }

  /** What the curves say, in words. */
  function verdict() {
    const ends = [...cells].filter(([, found]) => found.accuracy.length).map(([name, found]) => {
      const reached = found.accuracy.at(-1)[1];
      return `${name} ${reached === null ? "diverged" : `is right in ${percent(reached)}`}`;
    });
    return ends.length ? `${ends.join("; ")} of the sequences.` : "Done.";
  }

  return box;
}
