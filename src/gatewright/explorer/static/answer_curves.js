// An answer of Ask that is numbers: the outputs with and without the change, and how far they are apart.

import { numbers } from "./api.js";
import { lineChart } from "./chart.js";
import { h, short } from "./dom.js";
import { field } from "./pieces.js";
import { goTo, state } from "./store.js";

const MOST = 1500; // points of a line; of more steps the largest of a bin stands for it

/** Cards for `{plain, changed, difference}`; their `paint()` follows the step. */
export function answerCurves(answer) {
  const apart = numbers(answer.difference).data;
  const steps = apart.length;
  const most = apart.reduce((best, d, t) => (d > apart[best] ? t : best), 0);
  const onpick = (step) => goTo(step - 1);
  const far = lineChart({ title: "How far apart", x: "step", y: answer.plain.outputs ? "|difference of outputs|" : "share of the prediction", height: 190, onpick });
  const cards = [h("div", { class: "card" },
    h("h2", {}, apart[most] > 0 ? `The answers are furthest apart at step ${most + 1}: ${short(apart[most])}.` : "Nothing changes."), far)];
  far.show([{ name: "difference", points: thinned(apart) }]);
  const charts = [far];
  if (answer.plain.outputs) {
    const [plain, changed] = [numbers(answer.plain.outputs), numbers(answer.changed.outputs)];
    const wide = plain.shape[1];
    const both = lineChart({ title: "One output", x: "step", y: "value", height: 240, onpick });
    const column = ({ data }, k) => data.filter((_, at) => at % wide === k);
    const draw = (k) => both.show([
      { name: "original", points: thinned(column(plain, k)) }, { name: "changed", points: thinned(column(changed, k)) }]);
    const input = h("input", { type: "number", min: 0, max: wide - 1, value: 0, "aria-label": "Output", oninput: () => draw(Math.min(Math.max(Number(input.value) || 0, 0), wide - 1)) });
    cards.push(h("div", { class: "card" }, field(`Output (0 to ${wide - 1})`, input), both));
    charts.push(both);
    draw(0);
  }
  const paint = () => charts.forEach((chart) => chart.cursor(Math.min(state.t, steps - 1) + 1));
  paint();
  return { cards, paint, repaint: () => charts.forEach((chart) => chart.repaint()) };
}

/** [[step, value], …], of long sequences the value of the largest size in each bin. */
function thinned(values) {
  const bin = Math.ceil(values.length / MOST);
  const points = [];
  for (let from = 0; from < values.length; from += bin) {
    let best = from;
    for (let t = from; t < Math.min(from + bin, values.length); t++) if (Math.abs(values[t]) > Math.abs(values[best])) best = t;
    points.push([best + 1, Number.isFinite(values[best]) ? values[best] : null]);
  }
  return points;
}
