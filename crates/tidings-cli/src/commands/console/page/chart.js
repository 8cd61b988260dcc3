// Line charts as SVG: a chart of several lines with an axis, and a sparkline of one.

import { number, rate } from "./format.js";
import { svg, h } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 180;

/** The smallest of 1, 2, 2.5, 5, 10, 20 … that is at least `value`. */
function ceiling(value) {
  if (value <= 4) return 4;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * unit).find((step) => step >= value);
}

function path(values, top, width, height, slots) {
  const start = slots - values.length;
  let pen = "M";
  return values.map((value, index) => {
    if (value == null) { pen = "M"; return ""; }
    const x = ((start + index) / (slots - 1)) * width;
    const point = `${pen}${x.toFixed(1)} ${(height - (Math.min(value, top) / top) * height).toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
}

/** A sparkline; returns its element and a function that draws values into it. */
export function spark(slots = 60) {
  const area = svg("path", { class: "area" });
  const stroke = svg("path", { class: "stroke" });
  const element = svg("svg", { class: "spark", viewBox: "0 0 120 32", preserveAspectRatio: "none", "aria-hidden": "true" }, area, stroke);
  const draw = (all) => {
    const values = all.slice(-slots).map((value) => value ?? 0);
    if (values.length < 2) return;
    const d = path(values, Math.max(1, ...values), 120, 29, slots);
    stroke.setAttribute("d", d);
    const start = ((slots - values.length) / (slots - 1)) * 120;
    area.setAttribute("d", `${d}L120 32L${start.toFixed(1)} 32Z`);
  };
  return { element, draw };
}

/** A chart of `slots` seconds; `draw([{name, values}])` shows at most six lines. */
export function chart(label, slots) {
  const grid = svg("g", { class: "grid" });
  const lines = svg("g");
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, grid, lines);
  const scale = [0, 1, 2].map(() => h("span", {}));
  const legend = h("ul", { class: "legend" });
  for (let step = 0; step <= 4; step += 1) {
    const y = (HEIGHT * step) / 4;
    grid.append(svg("line", { x1: 0, x2: WIDTH, y1: y, y2: y }));
  }
  const ago = h("div", { class: "ago", "aria-hidden": "true" }, ...[5, 4, 3, 2, 1].map((m) => h("span", {}, `−${m} min`)), h("span", {}, "now"));
  const element = h("div", { class: "chart" }, h("div", { class: "scale", "aria-hidden": "true" }, scale), h("div", { class: "plot" }, drawing, ago), legend);
  const draw = (series) => {
    const top = ceiling(Math.max(1, ...series.flatMap((one) => one.values.map((value) => value ?? 0))));
    [top, top / 2, 0].forEach((value, index) => { scale[index].textContent = number(value); });
    lines.replaceChildren(...series.map((one, index) => svg("path", { class: `line l${index}`, d: path(one.values, top, WIDTH, HEIGHT, slots) })));
    legend.replaceChildren(...series.map((one, index) => h("li", {},
      svg("svg", { class: "swatch", viewBox: "0 0 18 6", "aria-hidden": "true" }, svg("path", { class: `line l${index}`, d: "M0 3L18 3" })),
      h("bdi", {}, one.name), h("b", {}, `${rate(one.values.at(-1) ?? 0)}/s`))));
  };
  return { element, draw };
}

/** Stacked bars, one per minute; `draw` takes one list of values per name. */
export function bars(label, names) {
  const columns = svg("g");
  const top = h("span", {});
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} 80`, preserveAspectRatio: "none", role: "img", "aria-label": label }, svg("g", { class: "grid" }, svg("line", { x1: 0, x2: WIDTH, y1: 80, y2: 80 }), svg("line", { x1: 0, x2: WIDTH, y1: 0, y2: 0 })), columns);
  const ago = h("div", { class: "ago", "aria-hidden": "true" }, ...["−60 min", "−45 min", "−30 min", "−15 min", "now"].map((words) => h("span", {}, words)));
  const legend = h("ul", { class: "legend" }, names.map((name, index) => h("li", {}, svg("svg", { class: "swatch", viewBox: "0 0 18 6", "aria-hidden": "true" }, svg("rect", { class: `bar b${index}`, width: 18, height: 6, rx: 2 })), name)));
  const element = h("div", { class: "chart low" }, h("div", { class: "scale", "aria-hidden": "true" }, top, h("span", {}, "0")), h("div", { class: "plot" }, drawing, ago), legend);
  const draw = (lists) => {
    const slots = lists[0].length;
    const most = ceiling(Math.max(1, ...lists[0].map((_, slot) => lists.reduce((sum, list) => sum + list[slot], 0))));
    const width = WIDTH / slots;
    top.textContent = number(most);
    columns.replaceChildren(...lists[0].flatMap((_, slot) => {
      let floor = 80;
      return lists.map((list, index) => {
        const height = (list[slot] / most) * 80;
        floor -= height;
        return height > 0 ? svg("rect", { class: `bar b${index}`, x: (slot * width + width * 0.12).toFixed(1), y: floor.toFixed(1), width: (width * 0.76).toFixed(1), height: height.toFixed(1) }) : null;
      }).filter(Boolean);
    }));
  };
  return { element, draw };
}
