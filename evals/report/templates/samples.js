"use strict";
// Samples to read: filters over the rows of #sample-data; a problem with its responses below it, some at a time.
(() => {
  const data = JSON.parse(document.getElementById("sample-data").textContent);
  const form = document.getElementById("sample-controls");
  if (!form) return;
  const PAGE = 60;
  const list = document.getElementById("sample-list");
  const more = document.getElementById("sample-more");
  const samples = data.rows.map((row) => Object.fromEntries(
    data.columns.map((name, i) => [name, data.levels[name] ? data.levels[name][row[i]] : row[i]])));
  for (const sample of samples) {
    const problem = data.problems[sample.problem_id] ?? { problem: "(the problem is not in these results)", answer: "?" };
    sample.problem = problem;
    sample.disagree = (sample.verdict === "correct") !== sample.second_correct;
    sample.search = `${problem.problem}\n${sample.response}`.toLowerCase();
  }

  const title = (name) => data.titles[name] ?? name;
  const fill = (select, values, text = title, any = true) => {
    if (any) select.append(Object.assign(document.createElement("option"), { value: "", textContent: "all" }));
    for (const value of values) select.append(Object.assign(document.createElement("option"), { value, textContent: text(value) }));
  };
  const distinct = (name) => [...new Set(samples.map((sample) => sample[name]))];
  fill(form.model, distinct("model"), (name) => name);
  form.querySelector(".models").hidden = distinct("model").length < 2;
  const order = Object.keys(data.titles);
  fill(form.arm, distinct("arm").sort((a, b) => order.indexOf(a) - order.indexOf(b)));
  fill(form.benchmark, distinct("benchmark"));
  fill(form.verdict, distinct("verdict").sort());

  const make = (name, className, text) => Object.assign(document.createElement(name), { className, textContent: text });
  const wanted = (sample) =>
    ["model", "arm", "benchmark", "verdict"].every((name) => !form[name].value || sample[name] === form[name].value) &&
    (!form.disagree.checked || sample.disagree) &&
    sample.search.includes(form.text.value.trim().toLowerCase());

  const models = distinct("model").length;
  let found = [], shown = 0, open = null;
  const show = (count) => {
    const end = Math.min(found.length, shown + count);
    for (; shown < end; shown++) {
      const sample = found[shown];
      const key = `${sample.model} ${sample.benchmark} ${sample.problem_id}`;
      if (open?.key !== key) {
        const box = make("article", "problem", "");
        box.append(make("h3", "", `${title(sample.benchmark)} · ${sample.problem_id}${models > 1 ? ` · ${sample.model}` : ""}`));
        box.append(make("pre", "", sample.problem.problem), make("p", "note", `Reference answer: ${sample.problem.answer}`));
        list.append(box);
        open = { key, box };
      }
      const response = make("div", "response", "");
      const about = make("p", "", "");
      about.append(make("span", `verdict ${sample.verdict === "correct" ? "correct" : "wrong"}`, sample.verdict));
      const where = sample.arm.split("@")[0] === "base" ? "" : `, training seed ${sample.train_seed}, step ${sample.step}`;
      const second = sample.disagree ? "; the second grader disagrees" : "";
      about.append(` · ${title(sample.arm)}${where}, sample ${sample.sample_id} · ${sample.n_tokens} tokens · answer read: ${sample.extracted || "none"}${second}`);
      response.append(about, make("pre", "", sample.response));
      open.box.append(response);
    }
    more.hidden = shown >= found.length;
    document.getElementById("sample-count").textContent =
      `${found.length.toLocaleString("en")} of ${samples.length.toLocaleString("en")} samples match; ${shown.toLocaleString("en")} are shown.`;
  };
  const filter = () => {
    found = samples.filter(wanted);
    list.replaceChildren();
    [shown, open] = [0, null];
    show(PAGE);
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => show(PAGE));
  filter();
})();
