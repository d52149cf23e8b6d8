// Line charts as SVG: small, quick, and in the page's own type. Bands show the least and the most of a bin of steps.

import { DASHES, LINES, theme } from "./colour.js";
import { h, s, short } from "./dom.js";

const PAD = { left: 64, right: 14, top: 10, bottom: 38 };

/**
 * A chart that is drawn again with `chart.show(series)`.
 * series: [{name, points: [[x, y], …], band: [[x, lo, hi], …]}]; a null y leaves a gap.
 */
export function lineChart({ title, x, y, log = false, height = 220, range = null, onpick = null, note = "" }) {
  const picture = s("svg", { class: "plot", role: "img", "aria-label": title });
  const key = h("div", { class: "key" });
  const readout = h("output", { class: "readout" });
  const more = h("button", { type: "button", class: "quiet more", title: "Larger, with zoom and download", "aria-label": `${title}: larger` }, "⤢");
  const box = h("figure", { class: "chart" },
    h("figcaption", {}, h("span", { class: "name" }, title), key, readout, more), picture, note ? h("p", { class: "quiet small" }, note) : null);
  let series = [];
  let at = null;
  let view = null;

  more.addEventListener("click", async () => (await import("./larger.js")).larger({ title, x, y, log, series }));

  box.show = (given, window = null) => {
    series = given;
    view = window;
    draw();
  };
  box.cursor = (value) => {
    at = value;
    draw();
  };
  box.repaint = () => draw();

  function draw() {
    const width = Math.max(box.clientWidth, 240);
    const frame = frameOf(series, { width, height, log, range, view });
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("height", height);
    picture.replaceChildren(...axes(frame, x, y), ...series.flatMap((line, k) => drawLine(line, k, frame)));
    if (at !== null && at >= frame.x0 && at <= frame.x1)
      picture.append(s("path", { class: "cursor", d: `M${frame.px(at)} ${PAD.top}V${height - PAD.bottom}` }));
    key.replaceChildren(...series.map((line, k) => h("span", {}, sample(k), line.name)));
  }

  const valueAt = (event) => {
    const frame = frameOf(series, { width: Math.max(box.clientWidth, 240), height, log, range, view });
    return frame.toX(event.clientX - picture.getBoundingClientRect().left);
  };
  picture.addEventListener("pointermove", (event) => {
    const value = valueAt(event);
    const found = series.map((line) => [line.name, nearest(line.points, value)]).filter(([, point]) => point);
    if (!found.length) return;
    readout.textContent = `${x} ${Math.round(found[0][1][0])}: ${found.map(([name, point]) => `${name} ${short(point[1] ?? NaN)}`).join(", ")}`;
  });
  picture.addEventListener("pointerleave", () => (readout.textContent = ""));
  if (onpick) picture.addEventListener("click", (event) => onpick(Math.round(valueAt(event))));
  new ResizeObserver(() => series.length && draw()).observe(box);
  return box;
}

export const colourAt = (k) => LINES[theme()][k % LINES.light.length];

const sample = (k) =>
  s("svg", { width: 22, height: 8, "aria-hidden": "true" },
    s("path", { d: "M0 4H22", stroke: colourAt(k), "stroke-width": 2.4, "stroke-dasharray": DASHES[k % DASHES.length] }));

function nearest(points, value) {
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < value) low = middle + 1;
    else high = middle;
  }
  return low > 0 && value - points[low - 1][0] < points[low][0] - value ? points[low - 1] : points[low];
}

/** Where values lie in the picture. */
function frameOf(series, { width, height, log, range, view }) {
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { points, band } of series) {
    for (const [px, py] of points) {
      if (px < x0) x0 = px;
      if (px > x1) x1 = px;
      if (py === null || py === undefined || (log && py <= 0)) continue;
      if (py < y0) y0 = py;
      if (py > y1) y1 = py;
    }
    for (const [, lo, hi] of band ?? []) [y0, y1] = [Math.min(y0, lo), Math.max(y1, hi)];
  }
  if (view) [x0, x1] = view;
  if (!(x1 > x0)) [x0, x1] = [x0 === Infinity ? 0 : x0, (x0 === Infinity ? 0 : x0) + 1];
  if (y0 === Infinity) [y0, y1] = log ? [0.1, 1] : [0, 1];
  if (range) [y0, y1] = [Math.min(y0, range[0]), Math.max(y1, range[1])];
  if (log) [y0, y1] = [10 ** Math.floor(Math.log10(Math.max(y0, y1 * 1e-16))), 10 ** Math.ceil(Math.log10(y1))];
  if (!(y1 > y0)) [y0, y1] = log ? [y0 / 10, y1 * 10] : [y0 - 0.5, y1 + 0.5];
  const f = log ? Math.log10 : (v) => v;
  const [wide, tall] = [width - PAD.left - PAD.right, height - PAD.top - PAD.bottom];
  const place = (v) => PAD.top + tall * (1 - (f(v) - f(y0)) / (f(y1) - f(y0)));
  return {
    x0, x1, y0, y1, width, height, log,
    px: (v) => +(PAD.left + (wide * (v - x0)) / (x1 - x0)).toFixed(1),
    py: (v) => +place(log ? Math.max(v, y0) : v).toFixed(1),
    toX: (pixel) => x0 + ((pixel - PAD.left) / wide) * (x1 - x0),
  };
}

function drawLine({ points, band }, k, frame) {
  const colour = colourAt(k);
  const made = [];
  if (band?.length) {
    const there = band.map(([x, , hi]) => `${frame.px(x)} ${frame.py(hi)}`);
    const back = band.map(([x, lo]) => `${frame.px(x)} ${frame.py(lo)}`).reverse();
    made.push(s("path", { d: `M${[...there, ...back].join("L")}Z`, fill: colour, opacity: 0.18 }));
  }
  let d = "";
  let pen = "M";
  for (const [x, y] of points) {
    if (y === null || y === undefined || !Number.isFinite(y)) pen = "M";
    else {
      d += `${pen}${frame.px(x)} ${frame.py(y)}`;
      pen = "L";
    }
  }
  if (d) made.push(s("path", { class: "curve", d, stroke: colour, "stroke-dasharray": DASHES[k % DASHES.length] }));
  if (points.length === 1 && points[0][1] !== null) made.push(s("circle", { cx: frame.px(points[0][0]), cy: frame.py(points[0][1]), r: 3, fill: colour }));
  return made;
}

function axes(frame, x, y) {
  const { width, height } = frame;
  const bottom = height - PAD.bottom;
  const rows = ticks(frame.y0, frame.y1, 4, frame.log).flatMap((v) => [
    s("path", { class: "grid", d: `M${PAD.left} ${frame.py(v)}H${width - PAD.right}` }),
    s("text", { class: "tick", x: PAD.left - 7, y: frame.py(v) + 4, "text-anchor": "end" }, tickText(v, frame.log)),
  ]);
  const columns = ticks(frame.x0, frame.x1, width < 420 ? 4 : 7, false, true).map((v) =>
    s("text", { class: "tick", x: frame.px(v), y: bottom + 16, "text-anchor": "middle" }, String(v)));
  return [
    ...rows, ...columns,
    s("text", { class: "axis", x: (PAD.left + width - PAD.right) / 2, y: height - 4, "text-anchor": "middle" }, x),
    s("text", { class: "axis", transform: `translate(13 ${(PAD.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y),
  ];
}

const tickText = (v, log) => {
  if (log) return `1e${Math.round(Math.log10(v))}`.replace("-", "−").replace(/^1e0$/, "1");
  return String(+v.toPrecision(3)).replace("-", "−");
};

/** Round numbers between two ends. */
export function ticks(lo, hi, wanted, log = false, whole = false) {
  if (log) {
    const [a, b] = [Math.round(Math.log10(lo)), Math.round(Math.log10(hi))];
    const every = Math.max(1, Math.ceil((b - a) / wanted));
    return Array.from({ length: Math.floor((b - a) / every) + 1 }, (_, k) => 10 ** (b - k * every)).reverse();
  }
  const rough = (hi - lo) / wanted;
  const size = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((m) => m * size).find((candidate) => candidate >= rough) ?? 10 * size;
  if (whole) step = Math.max(1, Math.round(step));
  const first = Math.ceil(lo / step - 1e-9);
  return Array.from({ length: Math.floor(hi / step + 1e-9) - first + 1 }, (_, k) => +((first + k) * step).toPrecision(12));
}
