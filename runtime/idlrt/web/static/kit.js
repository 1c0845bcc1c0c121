// Live pages, URL state, keys and plots. Pages are complete without it, except for plots.
//
// A live page is requested again, and its elements with `data-live` take the content of the new ones. A link with
// `data-view` changes the URL and refreshes the page in the same way, so the server alone decides what a URL shows.
"use strict";

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Announcements, for screen readers. Debounced, because an arrow key may be held down.
let announcing = 0;
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => { one("#announcer").textContent = text; }, 250);
}

// Refreshing.

const freshness = one("#freshness");
const pause = one("#pause");
const refreshMs = 1000 * Number(document.body.dataset.refresh || 0);
const MAX_DELAY_MS = 60000;
let isPaused = false;
let isOver = false;
let failures = 0;
let timer = 0;
let latest = 0;

function note(text, isStale = false) {
  if (freshness === null) return;
  if (freshness.textContent !== text) freshness.textContent = text;
  freshness.classList.toggle("stale", isStale);
}

function schedule() {
  clearTimeout(timer);
  if (!refreshMs || isPaused || isOver || document.hidden) return;
  timer = setTimeout(refresh, Math.min(refreshMs * 2 ** failures, Math.max(MAX_DELAY_MS, refreshMs)));
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++latest;
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (response.status === 401) {
      isOver = true;
      note("Signed out; reload the page", true);
      return;
    }
    if (!response.ok) throw new Error(`status ${response.status}`);
    const text = await response.text();
    // A later one, of another URL, has begun meanwhile.
    if (mine !== latest) return;
    update(new DOMParser().parseFromString(text, "text/html"));
    failures = 0;
    if (!isPaused) note("Live");
  } catch {
    if (mine !== latest) return;
    failures = Math.min(failures + 1, 8);
    note("No connection; retrying", true);
  }
  schedule();
}

function update(fresh) {
  document.title = fresh.title;
  for (const part of all("[data-live]")) {
    const found = fresh.getElementById(part.id);
    const selection = getSelection();
    const isSelected = !selection.isCollapsed && part.contains(selection.anchorNode);
    if (found !== null && !isSelected && found.innerHTML !== sources.get(part)) replace(part, found);
  }
  drawAll();
}

// The content as it came: users change that of the page (`open`, scrolling).
const sources = new Map(all("[data-live]").map((part) => [part, part.innerHTML]));

function replace(part, found) {
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  const open = all("details[open]", part).map((each) => each.id);
  const scrolled = all(".scroll", part).map((each) => [each.id, each.scrollLeft, each.scrollTop]);
  sources.set(part, found.innerHTML);
  part.replaceChildren(...found.childNodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const [id, left, top] of scrolled) document.getElementById(id)?.scrollTo({ left, top, behavior: "instant" });
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function show(url, isReplacing = false) {
  history[isReplacing ? "replaceState" : "pushState"](null, "", url);
  return refresh();
}

addEventListener("popstate", () => {
  for (const form of all("form[data-filter]")) {
    one("input[type=search]", form).value = new URL(location.href).searchParams.get(form.dataset.filter) || "";
  }
  refresh();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (refreshMs && !isPaused && !isOver) refresh();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-view]");
  if (link === null || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  show(link.href);
});

function togglePause() {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  if (isPaused) {
    clearTimeout(timer);
    note("Paused");
  } else refresh();
}
if (refreshMs) {
  pause.hidden = false;
  pause.addEventListener("click", togglePause);
  note("Live");
}

// Filters. Their forms have hidden fields, too.

const FILTER = "form[data-filter] input[type=search]";
for (const form of all("form[data-filter]")) {
  const input = one("input[type=search]", form);
  let typing = 0;
  const apply = () => {
    clearTimeout(typing);
    const url = new URL(location.href);
    if (input.value) url.searchParams.set(form.dataset.filter, input.value);
    else url.searchParams.delete(form.dataset.filter);
    if (url.href !== location.href) show(url.href, true);
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  input.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(apply, 200); });
}

// Keys. Those that are characters can be turned off, because they disturb speech input (WCAG 2.1.4).

const keys = one("#keys");
const useKeys = one("#use-keys");
const showKeys = one("#show-keys");
showKeys.hidden = false;
showKeys.addEventListener("click", () => keys.showModal());
useKeys.checked = localStorage.getItem("idlrt-keys") !== "off";
useKeys.addEventListener("change", () => localStorage.setItem("idlrt-keys", useKeys.checked ? "on" : "off"));

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;
  if (event.key === "Escape" && event.target.matches(FILTER)) {
    event.target.value = "";
    event.target.dispatchEvent(new Event("input"));
    event.target.blur();
    return;
  }
  if (isTyping || keys.open || !useKeys.checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && one(FILTER) !== null) one(FILTER).focus();
  else if (event.key === "?") keys.showModal();
  else if (event.key === "p" && refreshMs) togglePause();
  else return;
  event.preventDefault();
});

// Plots, whose data are in tables of the page, or in elements with JSON (`data-kind`).

const COLORS = 8;
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const WIDTHS = [1.75, 1.75, 2, 1.75];
const HEIGHT = 150;
const FEW = 20;
const DAY = 86400;
// Upper bounds of axes without values.
const EMPTY = { number: 1, rate: 1, share: 0.01, duration: 0.001, bytes: 1024 };
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6];
const plots = new Map();

function significant(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(size >= 10 ? value.toFixed(1) : size >= 0.1 ? value.toFixed(2) : value.toPrecision(2)));
}
function duration(value) {
  if (value === 0) return "0 s";
  for (const [factor, unit] of [[1e9, "ns"], [1e6, "µs"], [1e3, "ms"]]) {
    if (value * factor < 999.5) return `${significant(value * factor)} ${unit}`;
  }
  return `${significant(value)} s`;
}
function size(value) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.abs(value) < 1023.5) return `${significant(value)} ${unit}`;
    value /= 1024;
  }
  return `${significant(value)} TiB`;
}
const FORMATS = {
  number: (value) => significant(value),
  rate: (value) => `${significant(value)}/s`,
  share: (value) => `${significant(value * 100)} %`,
  duration,
  bytes: size,
};
const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);
// Times of axes and readings: with the day in plots of more than one.
function time(at, span) {
  return span > DAY ? new Date(at * 1000).toISOString().slice(5, 16).replace("T", " ") : clock(at);
}
function tick(at, span) {
  return span > 4 * DAY ? time(at, span).slice(0, 5) : span > DAY ? time(at, span) : clock(at).slice(0, 5);
}
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// What a plot shows: columns of numbers, their titles, the time, marks, and counts of a heat map.
function contentOf(element) {
  return element.dataset.kind === undefined ? contentOfTable(element) : contentOfJson(element);
}

// Columns of a table, from the oldest row to the latest.
function contentOfTable(element) {
  const table = document.getElementById(element.dataset.table);
  const names = ["at", ...element.dataset.columns.split(" ")];
  const rows = table === null ? [] : all("tbody tr", table).map((row) => new Map(
    all("[data-column]", row).map((cell) => [cell.dataset.column, one("data", cell)?.value])));
  rows.sort((a, b) => a.get("at") - b.get("at"));
  const columns = names.map((name) => rows.map((row) => (row.get(name) === undefined ? null : Number(row.get(name)))));
  const end = columns[0].at(-1) ?? Date.now() / 1000;
  return { columns, titles: element.dataset.titles.split("|"), low: end - Number(element.dataset.span), high: end, marks: [] };
}

function contentOfJson(element) {
  const found = JSON.parse(document.getElementById(`${element.id}-data`).textContent);
  const { start, step, titles, marks } = found;
  const isHeat = element.dataset.kind === "heat";
  const length = isHeat ? found.counts.length : Math.max(0, ...found.values.map((each) => each.length));
  const times = Array.from({ length }, (_, index) => start + index * step);
  // The line of a heat map is not drawn: it gives uPlot a range.
  const lines = isHeat ? [times.map(() => titles.length)] : found.values;
  return { columns: [times, ...lines], titles, low: start, high: start + step * Math.max(length, 1), marks, step, counts: found.counts };
}

function draw(element) {
  const content = contentOf(element);
  const found = plots.get(element);
  if (found !== undefined && found.content.titles.join("|") === content.titles.join("|")) {
    const left = found.cursor.idx === null ? null : found.data[0][found.cursor.idx];
    found.content = content;
    found.setData(content.columns);
    const at = left === null ? -1 : content.columns[0].indexOf(left);
    if (document.activeElement === element && at >= 0) place(element, at);
    return;
  }
  if (found !== undefined) found.destroy();
  element.hidden = false;
  const { unit, examples } = element.dataset;
  const isHeat = element.dataset.kind === "heat";
  const span = () => made.content.high - made.content.low;
  const axis = { stroke: color("--soft"), grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false } };
  const rows = content.titles.length;
  const valueAxis = isHeat
    ? { ...axis, splits: () => heatTicks(rows), values: (plot, ticks) => ticks.map((at) => made.content.titles[at - 1]?.replace("up to ", "") ?? ""), size: 64, grid: { show: false } }
    : { ...axis, values: (_, ticks) => ticks.map(FORMATS[unit]), size: 64, space: 28, ...(unit === "number" ? { incrs: WHOLE } : {}) };
  const line = (label, at) => ({
    label,
    stroke: color(`--line-${(at % COLORS) + 1}`),
    width: WIDTHS[Math.floor(at / COLORS) % WIDTHS.length],
    dash: DASHES[(element.dataset.kind === undefined ? at : Math.floor(at / COLORS)) % DASHES.length],
    points: { size: 5, show: true, filter: lonely },
  });
  const made = new uPlot({
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, sync: { key: "time" }, drag: { x: element.dataset.kind !== undefined, y: false, setScale: false }, points: { show: !isHeat } },
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    scales: {
      // Not what uPlot suggests: a single time would be widened by a day.
      x: { range: (plot) => (plot.content === undefined ? [content.low, content.high] : [plot.content.low, plot.content.high]) },
      y: { range: (_, low, high) => (isHeat ? [0, rows] : [0, 1.1 * (high > 0 ? high : EMPTY[unit])]) },
    },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((at) => tick(at, span())), size: 30, gap: 8 }, valueAxis],
    series: [{}, ...(isHeat ? [{ label: "", paths: () => null, points: { show: false } }] : content.titles.map(line))],
    hooks: {
      drawClear: isHeat ? [drawHeat] : [],
      draw: [drawMarks],
      setCursor: [(plot) => read(element, plot)],
      setSelect: [(plot) => zoom(element, plot)],
    },
  }, [[], ...content.columns.slice(1).map(() => [])], element);
  made.content = content;
  made.setData(content.columns);
  if (examples !== undefined) one(".u-over", element).addEventListener("click", () => showExamples(element));
  plots.set(element, made);
}

// A line needs two points: those without neighbors are drawn as points, and all of a plot of few steps.
function lonely(plot, number) {
  const values = plot.data[number];
  const isKnown = (at) => values[at] !== null && values[at] !== undefined;
  return values.map((_, at) => at).filter((at) => values.length < FEW || (isKnown(at) && !isKnown(at - 1) && !isKnown(at + 1)));
}

function heatTicks(rows) {
  const step = Math.max(1, Math.ceil(rows / 4));
  return Array.from({ length: Math.floor(rows / step) }, (_, at) => (at + 1) * step);
}

// Darker cells have more values; the square root keeps few values visible.
function drawHeat(plot) {
  const { counts, step, columns, titles } = plot.content ?? {};
  if (counts === undefined) return;
  const most = Math.max(1, ...counts.map((each) => (each === null ? 0 : Math.max(...each))));
  const { ctx } = plot;
  ctx.save();
  ctx.fillStyle = color("--line-1");
  counts.forEach((each, index) => {
    if (each === null) return;
    const left = Math.round(plot.valToPos(columns[0][index], "x", true));
    const right = Math.round(plot.valToPos(columns[0][index] + step, "x", true));
    each.forEach((count, row) => {
      if (!count) return;
      const top = Math.round(plot.valToPos(row + 1, "y", true));
      const bottom = Math.round(plot.valToPos(row, "y", true));
      ctx.globalAlpha = 0.12 + 0.88 * Math.sqrt(count / most);
      ctx.fillRect(left, top, Math.max(right - left, 1), Math.max(bottom - top, 1));
    });
  });
  ctx.restore();
}

function drawMarks(plot) {
  const { marks = [], low, high } = plot.content ?? {};
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = color("--soft");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const [at] of marks) {
    if (at < low || at > high) continue;
    const x = Math.round(plot.valToPos(at, "x", true)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const part = 4 * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x - part, bbox.top);
    ctx.lineTo(x + part, bbox.top);
    ctx.lineTo(x, bbox.top + 1.5 * part);
    ctx.fill();
  }
  ctx.restore();
}

// A period that was selected with the mouse is shown as `?end=...&last=...`.
function zoom(element, plot) {
  const { left, width } = plot.select;
  if (width < 5) return;
  const [low, high] = [left, left + width].map((at) => Math.round(plot.posToVal(at, "x")));
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  if (high <= low) return;
  const url = new URL(location.href);
  url.searchParams.set("end", high);
  url.searchParams.set("last", Math.max(high - low, 60));
  element.dataset.zoomed = "yes";
  show(url.href);
}

function showExamples(element) {
  const plot = plots.get(element);
  const at = plot.cursor.idx;
  if (element.dataset.zoomed === "yes") delete element.dataset.zoomed;
  else if (at !== null && at !== undefined && plot.data[0].length) {
    const start = plot.data[0][at];
    location.href = `${element.dataset.examples}start=${start}&end=${start + plot.content.step}`;
  }
}

// Shows the values at the cursor.
function read(element, plot) {
  const at = plot.cursor.idx;
  const line = one(".reading", element.closest("figure"));
  if (plot.content === undefined || at === null || at === undefined || plot.cursor.left < 0 || !plot.data[0].length) {
    line.textContent = "";
    return;
  }
  const { low, high, marks, step = 0 } = plot.content;
  const start = plot.data[0][at];
  const texts = element.dataset.kind === "heat" ? countsAt(plot, at) : valuesAt(element, plot, at);
  const events = marks.filter(([when]) => when >= start && when < start + step).map(([, text]) => text);
  line.textContent = `${time(start, high - low)} UTC: ${[...texts, ...events].join(", ")}`;
  if (document.activeElement === element) announce(line.textContent);
}

function valuesAt(element, plot, at) {
  const format = FORMATS[element.dataset.unit];
  return plot.series.slice(1).map((each, number) => {
    const value = plot.data[number + 1][at];
    return `${plot.series.length > 2 ? `${each.label} ` : ""}${value === null || value === undefined ? "none" : format(value)}`;
  });
}

function countsAt(plot, at) {
  const counts = plot.content.counts[at];
  if (counts === null) return ["none"];
  const shown = plot.content.titles.map((title, row) => [title, counts[row]]).filter(([, count]) => count);
  return shown.length ? shown.map(([title, count]) => `${title} ${significant(count)}`) : ["no calls"];
}

function place(element, at) {
  const plot = plots.get(element);
  plot.setCursor({ left: Math.max(plot.valToPos(plot.data[0][at], "x"), 0), top: HEIGHT / 3 });
}

document.addEventListener("keydown", (event) => {
  const plot = plots.get(event.target);
  if (plot === undefined || !plot.data[0].length) return;
  const last = plot.data[0].length - 1;
  const shown = plot.cursor.left >= 0 && plot.cursor.idx !== null ? plot.cursor.idx : last + 1;
  const step = event.shiftKey ? 10 : 1;
  const wanted = { ArrowLeft: shown - step, ArrowRight: shown + step, Home: 0, End: last }[event.key];
  if (event.key === "Escape") plot.setCursor({ left: -10, top: -10 });
  else if (event.key === "Enter" && event.target.dataset.examples !== undefined) showExamples(event.target);
  else if (wanted !== undefined) place(event.target, Math.min(Math.max(wanted, 0), last));
  else return;
  event.preventDefault();
});

function drawAll() {
  if (typeof uPlot !== "undefined") all(".canvas").forEach(draw);
}
function drawAnew() {
  for (const [element, plot] of plots) {
    plot.destroy();
    plots.delete(element);
  }
  drawAll();
}
const resized = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const plot = plots.get(target);
    if (plot !== undefined && contentRect.width && plot.width !== contentRect.width) {
      plot.setSize({ width: contentRect.width, height: HEIGHT });
    }
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
drawAll();
all(".canvas").forEach((each) => resized.observe(each));
schedule();
