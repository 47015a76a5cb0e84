// Live graphs of statistics: a counter by how much it grows in a second over all files, another number by its average
// with what lies between its least and its greatest, a text as it is. What is not known is a gap.
"use strict";

const POINTS = 120;         // of each graph
const MOST = 60;            // graphs at once
const LABELS_EVERY = 2000;  // ms after which new labels are looked for
const LONGEST = 30000;      // characters of a request; also of a label that is seen
const PAUSES = [0, 50, 200, 500];  // ms after which a request is sent again whose connection was lost
const WIDTH = 600, HEIGHT = 100;

const query = new URLSearchParams(location.search);
const chosen = new Set(query.getAll("label"));
const filter = document.getElementById("filter");
const every = document.getElementById("every");
const state = document.getElementById("state");
const place = document.getElementById("graphs");
const graphs = new Map();   // by label

let kinds = [];
let looked = -Infinity;
let answered = null;

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

function drawn(name, className) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  made.setAttribute("class", className);
  return made;
}

const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

function written(value) {
  if (value === null) return "--";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e15) ? value.toExponential(4) : digits.format(value);
}

class Graph {
  constructor(label, kind) {
    this.label = label;
    this.kind = kind;
    this.rate = kind === "counter";
    this.samples = [];      // { time, sum, low, high, average }, times in seconds
    this.now = element("b", { textContent: "--" });
    this.unit = element("span");
    this.root = element("section", {},
      element("h2", { textContent: label }), element("p", { className: "now" }, this.now, " ", this.unit));
    this.root.dataset.label = label;
    if (kind !== "text") this.addPicture();
  }

  addPicture() {
    this.svg = drawn("svg", "graph");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.band = drawn("path", "band");
    this.line = drawn("path", "line");
    this.svg.append(this.band, this.line);
    this.range = element("span");
    this.since = element("span");
    this.root.append(this.svg, element("p", { className: "axis" }, this.since, this.range, element("span", { textContent: "now" })));
    if (this.kind === "counter") {
      const button = element("button", { type: "button", textContent: "total" });
      button.addEventListener("click", () => {
        this.rate = !this.rate;
        button.textContent = this.rate ? "total" : "per second";
        this.draw();
      });
      this.root.append(button);
    }
  }

  take(time, values) {
    if (this.kind === "text") {
      this.now.textContent = [...new Set(values.map(String))].filter((text) => text).join(" · ") || "--";
      return;
    }
    const known = values.filter((value) => value !== null && typeof value !== "string").map(Number);
    const sum = known.reduce((a, b) => a + b, 0);
    this.samples.push(known.length
      ? { time, sum, low: Math.min(...known), high: Math.max(...known), average: sum / known.length }
      : { time, sum: null, low: null, high: null, average: null });
    if (this.samples.length > POINTS + 1) this.samples.shift();
    this.unit.textContent = known.length > 1 ? `${this.rate ? "per second, " : ""}${known.length} files` : this.rate ? "per second" : "";
    this.draw();
  }

  // The points: { time, value, low, high }.
  points() {
    if (!this.rate) {
      const all = this.kind === "counter";
      return this.samples.map((s) => ({ time: s.time, value: all ? s.sum : s.average, low: all ? s.sum : s.low, high: all ? s.sum : s.high }));
    }
    return this.samples.slice(1).map((s, i) => {
      const before = this.samples[i];
      // It falls when a process has gone with what it counted: how much the others grew is not known.
      const known = s.sum !== null && before.sum !== null && s.sum >= before.sum;
      const value = known ? (s.sum - before.sum) / (s.time - before.time) : null;
      return { time: s.time, value, low: value, high: value };
    });
  }

  draw() {
    const points = this.points();
    const last = points.at(-1);
    this.now.textContent = written(last ? last.value : null);
    const known = points.filter((point) => point.value !== null);
    this.svg.setAttribute("aria-label", `${this.label}: ${this.now.textContent}`);
    this.root.dataset.points = known.length;
    if (!known.length) {
      this.line.setAttribute("d", "");
      this.band.setAttribute("d", "");
      this.range.textContent = "";
      return;
    }
    let low = Math.min(...known.map((point) => point.low));
    let high = Math.max(...known.map((point) => point.high));
    if (this.kind === "counter" && this.rate) low = 0;
    this.range.textContent = `${written(low)} to ${written(high)}`;
    if (low === high) { low -= 1; high += 1; }
    const end = points.at(-1).time;
    const span = POINTS * Number(every.value);
    this.since.textContent = `${span} s ago`;
    const x = (point) => WIDTH - (end - point.time) / span * WIDTH;
    const y = (value) => HEIGHT - 3 - (value - low) / (high - low) * (HEIGHT - 6);
    this.line.setAttribute("d", path(points, (point) => `${x(point).toFixed(1)},${y(point.value).toFixed(1)}`));
    this.band.setAttribute("d", bands(points, x, y));
  }
}

function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point.value === null) found.push([]); else found.at(-1).push(point);
  }
  return found.filter((run) => run.length);
}

function path(points, at) {
  // A run of one point is a dot: a line to itself, with round ends.
  return runs(points).map((run) => "M" + (run.length > 1 ? run : [run[0], run[0]]).map(at).join("L")).join("");
}

function bands(points, x, y) {
  return runs(points).filter((run) => run.some((point) => point.low !== point.high)).map((run) => {
    const above = run.map((point) => `${x(point).toFixed(1)},${y(point.high).toFixed(1)}`);
    const below = run.map((point) => `${x(point).toFixed(1)},${y(point.low).toFixed(1)}`).reverse();
    return `M${[...above, ...below].join("L")}Z`;
  }).join("");
}

// A connection may be lost for no reason of the server's: a browser ends all of them whenever an interface of the machine
// comes or goes, and a container that starts has several do so. What is lost is no gap yet.
async function lasting(once) {
  for (const pause of PAUSES) {
    try {
      return await once();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return once();
}

async function asked(url) {
  // Of the origin: an address with a name and a password in it is not taken.
  const place = new URL(url, location.origin);
  const once = () => fetch(place, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  const answer = await lasting(once);
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.json();
}

// The values by label; in several requests, where one would be longer than the server takes.
async function latest(labels) {
  const requests = [];
  for (const label of labels) {
    const parameter = `label=${encodeURIComponent(label)}`;
    if (requests.length && requests.at(-1).length + parameter.length < LONGEST) requests.push(`${requests.pop()}&${parameter}`);
    else requests.push(parameter);
  }
  const answers = await Promise.all(requests.map((request) => asked(`/stats/?${request}`)));
  return new Map(answers.flatMap((answer) => Object.entries(answer)));
}

// Those that are to be seen: the chosen ones, else all that are not about the process itself.
function wanted() {
  const text = filter.value.toLowerCase();
  const own = /(^|\.)(sys\.(pid|tid|uid|gid|created|folds)|org\.python\.version)$/;
  return kinds.filter(({ label }) => label.toLowerCase().includes(text) && encodeURIComponent(label).length < LONGEST
    && (chosen.size ? chosen.has(label) : text !== "" || !own.test(label)));
}

function arrange() {
  const shown = wanted().slice(0, MOST);
  const labels = new Set(shown.map(({ label }) => label));
  for (const [label, graph] of graphs) {
    if (!labels.has(label)) { graph.root.remove(); graphs.delete(label); }
  }
  shown.forEach(({ label, kind }, i) => {
    if (graphs.has(label) && graphs.get(label).kind !== kind) {
      graphs.get(label).root.remove();
      graphs.delete(label);
    }
    if (!graphs.has(label)) graphs.set(label, new Graph(label, kind));
    const root = graphs.get(label).root;
    if (place.children[i] !== root) place.insertBefore(root, place.children[i] ?? null);
  });
}

function told() {
  const all = wanted().length;
  if (!all) return kinds.length ? "no such label" : "no statistics there";
  return all > MOST ? `${MOST} of ${all} labels: write more of a label to see others` : `${all} of ${kinds.length} labels`;
}

async function turn() {
  try {
    if (performance.now() - looked > LABELS_EVERY) {
      kinds = (await asked("/labels/")).labels;
      looked = performance.now();
    }
    arrange();
    if (graphs.size) {
      const values = await latest([...graphs.keys()]);
      const time = performance.now() / 1000;
      for (const [label, graph] of graphs) graph.take(time, values.get(label) ?? []);
    }
    answered = new Date();
    state.textContent = told();
    state.className = "";
  } catch (error) {
    const time = performance.now() / 1000;
    for (const graph of graphs.values()) if (graph.kind !== "text") graph.take(time, []);
    state.textContent = `${error.message}; the last answer came ${answered ? answered.toLocaleTimeString() : "never"}`;
    state.className = "trouble";
  }
}

async function run() {
  for (;;) {
    const began = performance.now();
    await turn();
    const rest = Number(every.value) * 1000 - (performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, Math.max(50, rest)));
  }
}

filter.value = query.get("filter") ?? "";
filter.addEventListener("input", () => {
  const url = new URL(location);
  if (filter.value) url.searchParams.set("filter", filter.value); else url.searchParams.delete("filter");
  history.replaceState(null, "", url);
  arrange();
});
every.addEventListener("change", () => {
  for (const graph of graphs.values()) { graph.samples = []; }
});
document.getElementById("choice").addEventListener("submit", (event) => event.preventDefault());
run();
