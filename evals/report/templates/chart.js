"use strict";
// Training curves: lines of SVG for the chosen metric and arms, and the values at one step as a table.
(() => {
  const data = JSON.parse(document.getElementById("curve-data").textContent);
  const form = document.getElementById("curve-controls");
  const chart = document.getElementById("chart");
  const cursor = document.getElementById("curve-cursor");
  const SVG = "http://www.w3.org/2000/svg";
  const LEFT = 56, RIGHT = 12, TOP = 12, BOTTOM = 40;
  const [METRIC, ARM, MODEL, , STEPS, VALUES] = [0, 1, 2, 3, 4, 5];  // of a row of data.series

  const element = (name, attributes = {}, text = "") => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
  // GRPO is black on paper: on a dark screen it takes the colour of the text.
  const colour = (arm) => (arm.color.toLowerCase() === "#000000" ? "var(--base)" : arm.color);

  for (const name of Object.keys(data.metrics)) form.metric.append(option(name, name.replaceAll("_", " ")));
  for (const name of data.models) form.model.append(option(name, name));
  form.querySelector(".models").hidden = data.models.length < 2;
  for (const arm of data.arms) {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "arm", value: arm.name, checked: arm.main });
    const swatch = element("svg", { width: 28, height: 10, "aria-hidden": "true" });
    swatch.append(element("line", { x1: 0, y1: 5, x2: 28, y2: 5, "stroke-width": 3, style: `stroke:${colour(arm)}`, "stroke-dasharray": arm.dash }));
    label.append(box, swatch, arm.title);
    form.querySelector(".arms").append(label);
  }

  const boxes = () => [...form.querySelectorAll("input[name=arm]")];
  const smooth = (values, window) => {
    const half = (window - 1) / 2;
    return values.map((_, i) => {
      const near = values.slice(Math.max(0, i - half), i + half + 1);
      return near.reduce((a, b) => a + b, 0) / near.length;
    });
  };
  // One entry per arm: its runs as [step, value] points, and their mean at the steps that all of them have.
  const chosen = () => {
    const wanted = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
    const window = Number(form.window.value);
    return data.arms.filter((arm) => wanted.has(arm.name)).map((arm) => {
      const runs = data.series
        .filter((row) => row[METRIC] === form.metric.value && row[ARM] === arm.name && row[MODEL] === form.model.value)
        .map((row) => { const values = smooth(row[VALUES], window); return new Map(data.steps[row[STEPS]].map((step, i) => [step, values[i]])); });
      const shared = runs.length ? [...runs[0].keys()].filter((step) => runs.every((run) => run.has(step))) : [];
      const mean = new Map(shared.map((step) => [step, runs.reduce((sum, run) => sum + run.get(step), 0) / runs.length]));
      return { arm, runs, mean };
    }).filter((entry) => entry.runs.length);
  };

  const ticks = (low, high, count) => {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const width = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let n = Math.ceil(low / width); n * width <= high + width * 1e-9; n++) found.push(n * width);
    return found;
  };
  const short = (value) => String(Number(value.toPrecision(4)));

  let entries = [], steps = [], place = null, width = chart.clientWidth;
  const draw = () => {
    entries = chosen();
    steps = [...new Set(entries.flatMap((entry) => [...entry.mean.keys()]))].sort((a, b) => a - b);
    document.getElementById("curve-about").textContent = `${form.metric.value.replaceAll("_", " ")}: ${data.metrics[form.metric.value]}.`;
    chart.replaceChildren();
    cursor.disabled = !steps.length;
    if (!steps.length) { chart.textContent = "No curve: choose an arm."; read(); return; }
    const values = entries.flatMap((entry) => (form.runs.checked ? entry.runs : [entry.mean]).flatMap((line) => [...line.values()]));
    let low = Math.min(...values), high = Math.max(...values);
    if (low === high) { low -= 0.5; high += 0.5; }
    const first = steps[0], last = Math.max(steps.at(-1), first + 1);
    const WIDTH = Math.max(chart.clientWidth, 280), HEIGHT = Math.round(Math.min(420, Math.max(260, WIDTH * 0.45)));  // letters keep their size
    const x = (step) => LEFT + ((step - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const title = `${form.metric.value} over training steps of ${entries.map((entry) => entry.arm.title).join(", ")}`;
    const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
    for (const value of ticks(low, high, 6)) {
      svg.append(element("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
      svg.append(element("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    for (const step of ticks(first, last, WIDTH / 110)) svg.append(element("text", { x: x(step), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, short(step)));
    svg.append(element("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "training step"));
    const line = (points, arm, style) => svg.append(element("polyline", {
      points: [...points].map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" "),
      fill: "none", style: `stroke:${colour(arm)}`, ...style }));
    if (form.runs.checked) for (const entry of entries) for (const run of entry.runs) line(run, entry.arm, { class: "run", "stroke-width": 1, opacity: 0.35 });
    for (const entry of entries) line(entry.mean, entry.arm, { class: "mean", "stroke-width": 2.5, "stroke-dasharray": entry.arm.dash });
    place = element("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
    place.x = x;
    svg.append(place);
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const step = first + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (last - first);
      cursor.value = steps.reduce((best, found, i) => (Math.abs(found - step) < Math.abs(steps[best] - step) ? i : best), 0);
      read();
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    chart.append(svg);
    cursor.max = steps.length - 1;
    read();
  };

  const read = () => {
    const body = document.querySelector("#curve-values tbody");
    body.replaceChildren();
    const step = steps[Math.min(Number(cursor.value), steps.length - 1)];
    document.getElementById("curve-step").textContent = step === undefined ? "" : short(step);
    if (step === undefined) return;
    cursor.setAttribute("aria-valuetext", `step ${short(step)}`);
    for (const side of ["x1", "x2"]) place.setAttribute(side, place.x(step));
    for (const { arm, runs, mean } of entries) {
      const values = runs.filter((run) => run.has(step)).map((run) => run.get(step));
      if (!values.length) continue;
      const row = body.insertRow();
      const head = Object.assign(document.createElement("th"), { scope: "row", textContent: arm.title });
      row.append(head);
      const cells = [values.length, mean.has(step) ? short(mean.get(step)) : "–", short(Math.min(...values)), short(Math.max(...values))];
      for (const text of cells) Object.assign(row.insertCell(), { className: "n", textContent: text });
    }
  };

  new ResizeObserver(() => { if (chart.clientWidth !== width) { width = chart.clientWidth; draw(); } }).observe(chart);
  form.addEventListener("change", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const which = event.target.dataset?.arms;
    if (!which) return;
    const main = new Set(data.arms.filter((arm) => arm.main).map((arm) => arm.name));
    for (const box of boxes()) box.checked = which === "all" || (which === "main" && main.has(box.value));
    draw();
  });
  cursor.addEventListener("input", read);
  form.window.value = Math.max(...data.steps.map((found) => found.length)) >= 40 ? "5" : "1";
  draw();
  cursor.value = cursor.max;
  read();
})();
