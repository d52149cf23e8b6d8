// One heat map on a canvas: units by steps, reduced by the server to what there are pixels for.

import { colourOf, scale, theme } from "./colour.js";
import { h, short } from "./dom.js";
import { legend, kindOf } from "./pieces.js";

/** A panel for one name; `show` draws an answer, `place` says what lies where. */
export function heatMap(entry, { onpick, ondrag, onwheel, onhover }) {
  const canvas = h("canvas", { role: "img" });
  const over = h("canvas", { class: "over", "aria-hidden": "true" });
  const title = h("div", { class: "title" }, h("i", { class: "symbol" }, entry.symbol), h("span", { class: "kind" }, kindOf(entry)));
  const ramp = h("div");
  const plane = h("div", { class: "plane" }, canvas, over);
  const box = h("div", { class: "heat" }, h("div", { class: "side" }, title, ramp), plane);
  const image = document.createElement("canvas");
  let answer = null;
  let window = [0, 1];
  let marks = {};

  box.show = (given, shown) => {
    answer = given;
    window = shown;
    paintImage();
    draw();
    canvas.setAttribute("aria-label",
      `${entry.name}: ${given.matrix.shape[0]} rows of units, steps ${given.from} to ${given.to}, values ${short(given.lo)} to ${short(given.hi)}`);
  };
  /** While an answer is awaited, the old picture is stretched to the new window. */
  box.stretch = (shown) => {
    window = shown;
    draw();
  };
  box.mark = (given) => {
    marks = given;
    drawMarks();
  };
  box.repaint = () => answer && (paintImage(), draw());
  box.plane = plane;

  /** The value under a unit and a step; undefined where that is not shown. */
  box.valueAt = (unit, t) => {
    const row = answer?.rows.findIndex((group) => group.includes(unit)) ?? -1;
    const column = answer ? Math.floor((t - answer.from) / answer.bin) : -1;
    const [rows, columns] = answer?.matrix.shape ?? [0, 0];
    return row < 0 || row >= rows || column < 0 || column >= columns ? undefined : answer.matrix.data[row * columns + column];
  };

  function paintImage() {
    const [rows, columns] = answer.matrix.shape;
    const its = scale(entry, ...ends(answer));
    image.width = columns;
    image.height = rows;
    const pixels = new ImageData(columns, rows);
    const words = new Uint32Array(pixels.data.buffer);
    const table = its.colours.map(([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r);
    const by = 255 / (its.hi - its.lo);
    const empty = theme() === "dark" ? 0xff2b2722 : 0xfff1f4f3;
    answer.matrix.data.forEach((v, k) => {
      words[k] = v === v ? table[Math.max(0, Math.min(255, Math.round((v - its.lo) * by)))] : empty;
    });
    image.getContext("2d").putImageData(pixels, 0, 0);
    ramp.replaceChildren(legend(entry, its));
  }

  function fit(surface) {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(plane.clientWidth * ratio), Math.round(plane.clientHeight * ratio)];
    if (surface.width !== width || surface.height !== height) [surface.width, surface.height] = [width, height];
    const brush = surface.getContext("2d");
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    brush.clearRect(0, 0, width, height);
    return brush;
  }

  const across = (t) => ((t - window[0]) / (window[1] - window[0])) * plane.clientWidth;

  function draw() {
    if (!answer || !plane.clientWidth) return;
    const brush = fit(canvas);
    brush.imageSmoothingEnabled = false;
    const [, columns] = answer.matrix.shape;
    const [x0, x1] = [across(answer.from), across(answer.from + columns * answer.bin)];
    brush.drawImage(image, x0, 0, x1 - x0, plane.clientHeight);
    drawMarks();
  }

  function drawMarks() {
    if (!plane.clientWidth) return;
    const brush = fit(over);
    const { t, unit, range } = marks;
    const tall = plane.clientHeight;
    brush.lineWidth = 1.5;
    brush.strokeStyle = theme() === "dark" ? "#ffffff" : "#14181c";
    if (t !== undefined) brush.strokeRect(across(t), 0.75, Math.max(across(t + 1) - across(t), 2), tall - 1.5);
    const row = answer?.rows.findIndex((group) => group.includes(unit)) ?? -1;
    if (row >= 0) {
      const each = tall / answer.rows.length;
      brush.strokeRect(0.75, row * each, plane.clientWidth - 1.5, Math.max(each, 2));
    }
    if (range) {
      brush.fillStyle = "rgb(95 208 194 / 35%)";
      brush.fillRect(across(range[0]), 0, across(range[1]) - across(range[0]), tall);
    }
  }

  // -- the pointer ------------------------------------------------------------------------------

  const stepOf = (event) => window[0] + ((event.clientX - plane.getBoundingClientRect().left) / plane.clientWidth) * (window[1] - window[0]);
  const unitOf = (event) => {
    const bounds = plane.getBoundingClientRect();
    const row = Math.floor(((event.clientY - bounds.top) / bounds.height) * (answer?.rows.length ?? 1));
    return answer?.rows[Math.min(Math.max(row, 0), answer.rows.length - 1)]?.[0];
  };
  let began = null;
  plane.addEventListener("pointerdown", (event) => {
    began = { x: event.clientX, t: stepOf(event) };
    plane.setPointerCapture(event.pointerId);
  });
  plane.addEventListener("pointermove", (event) => {
    const t = stepOf(event);
    if (began && Math.abs(event.clientX - began.x) > 6) ondrag([Math.min(began.t, t), Math.max(began.t, t)], false);
    else onhover(box, unitOf(event), Math.floor(t));
  });
  plane.addEventListener("pointerup", (event) => {
    if (!began) return;
    const t = stepOf(event);
    if (Math.abs(event.clientX - began.x) > 6) ondrag([Math.min(began.t, t), Math.max(began.t, t)], true);
    else onpick(unitOf(event), Math.floor(t));
    began = null;
  });
  plane.addEventListener("pointercancel", () => ((began = null), ondrag(null, false)));
  plane.addEventListener("pointerleave", () => onhover(box, undefined, undefined));
  plane.addEventListener("wheel", (event) => onwheel(event, stepOf(event)), { passive: false });
  return box;
}

/** The ends of the scale where a name has none: 98 of 100 values lie inside, so that a few do not pale the rest. */
function ends({ matrix }) {
  const sizes = matrix.data.filter((v) => v === v).map(Math.abs).sort();
  const reach = sizes[Math.floor(0.98 * (sizes.length - 1))] || 1;
  return [-reach, reach];
}

export const colourFor = (entry, value) => colourOf(value, scale(entry));
