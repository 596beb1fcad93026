// How many came when: the last fourteen days or the season, and the last day by quarters of an hour.

import { $, address, draw, get, hornetsFirst, isHornet, level, LIMITS } from "./talk.js";

const WIDE = 420, LEFT = 24, TOP = 18;
let season = false, counts = null, year = null;

const hourAndMinute = { hour: "2-digit", minute: "2-digit" };
const short = day => new Date(`${day}T12:00`).toLocaleDateString(undefined, { day: "numeric", month: "numeric" });
const long = day => new Date(`${day}T12:00`).toLocaleDateString(undefined, { day: "numeric", month: "short" });
const month = day => new Date(`${day}T12:00`).toLocaleDateString(undefined, { month: "short" });

function bars(svg, rows, height, label, numbers) {
  svg.replaceChildren();
  if (!rows.length) return;
  const highest = Math.max(4, ...rows.map(r => r.most), isHornet(label) && rows.some(r => r.most > 2) ? 6 : 0);
  const y = value => TOP + height * (1 - value / highest), step = (WIDE - LEFT) / rows.length;
  for (const tick of [0, Math.round(highest / 2), highest]) {
    draw(svg, "line", { class: "grid", x1: LEFT, x2: WIDE, y1: y(tick), y2: y(tick) });
    draw(svg, "text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, tick);
  }
  rows.forEach((r, i) => {
    const x = LEFT + i * step, width = Math.max(.6, step * (rows.length > 100 ? 1 : .78));
    if (!r.watched && !r.most) draw(svg, "rect", { class: "blind", x, y: y(0) - 8, width, height: 8 });
    const high = Math.max(y(0) - y(r.most), r.most || r.watched ? 1.5 : 0);
    const bar = draw(svg, "rect", { class: `bar fill-${level(r.most, label)}`, x, y: y(0) - high, width, height: high });
    draw(bar, "title", {}, `${r.name}: ${r.watched || r.most ? r.most : "not watched"}`);
    if (r.tick) draw(svg, "text", { x: x + step / 2, y: y(0) + 15, "text-anchor": "middle" }, r.tick);
    if (r.most && numbers) draw(svg, "text", { x: x + step / 2, y: y(r.most) - 3, "text-anchor": "middle" }, r.most);
  });
  if (!isHornet(label)) return;
  for (const [least, name] of LIMITS) if (least <= highest) {
    draw(svg, "line", { class: `limit ${name}`, x1: LEFT, x2: WIDE, y1: y(least), y2: y(least) });
    draw(svg, "text", { x: LEFT + 3, y: y(least) - 3 }, name);
  }
}

function fortnight(label) {
  const days = counts.days, found = counts.labels[label] ?? days.map(() => ({ most: 0 }));
  const last = days.length - 1;
  bars($("days"), days.map((day, i) => ({
    name: long(day), most: found[i].most, watched: counts.watched[day], tick: (last - i) % 3 ? "" : short(day),
  })), 150, label, true);
  $("summed").textContent = "";
}

function wholeYear(label) {
  const days = year.days, found = year.labels[label] ?? days.map(() => 0);
  bars($("days"), days.map((day, i) => ({
    name: long(day), most: found[i], watched: year.watched[i], tick: day.endsWith("-01") || days.length < 20 && i % 3 === 0
      ? days.length < 20 ? short(day) : month(day) : "",
  })), 150, label, false);
  const watched = year.watched.filter(Boolean).length, came = found.filter(Boolean).length, most = Math.max(0, ...found);
  $("summed").textContent = !days.length ? `Nothing was watched in ${year.year} yet.`
    : `${year.year}: seen on ${came} of ${watched} days watched` + (most ? `, the most at once ${most} on ${long(days[found.indexOf(most)])}.` : ".");
}

function quarters(label) {
  const found = counts.today.labels[label] ?? {}, rows = [];
  for (let i = 0, at = counts.today.from; i < 96; i++, at += counts.today.bucket) {
    const moment = new Date(at * 1000), full = moment.getMinutes() === 0 && moment.getHours() % 6 === 0;
    rows.push({
      name: moment.toLocaleTimeString(undefined, hourAndMinute), most: found[at] ?? 0, watched: true,
      tick: full ? moment.toLocaleTimeString(undefined, hourAndMinute) : "",
    });
  }
  bars($("quarters"), rows, 75, label, false);
}

function show() {
  const label = $("label").value;
  if (season && year) wholeYear(label); else if (counts) fortnight(label);
  if (counts?.today.from) quarters(label);
}

export async function chart() {
  [counts, year] = await Promise.all([get("api/counts", { days: 14 }), season ? get("api/season") : year]);
  const select = $("label"), names = hornetsFirst(Object.keys(counts.labels));
  if ([...select.options].map(option => option.value).join() !== names.join()) {
    const chosen = select.value;
    select.replaceChildren(...names.map(name => new Option(name, name)));
    if (names.includes(chosen)) select.value = chosen;
  }
  select.hidden = names.length < 2;
  show();
}

// Another hive was chosen.
export function showChart() {
  year = null;
  for (const name of ["days", "visits"]) $(`${name}-csv`).href = address(`api/${name}.csv`);
  return chart();
}

function choose(whole) {
  season = whole;
  $("year").setAttribute("aria-pressed", whole);
  $("fortnight").setAttribute("aria-pressed", !whole);
  chart().catch(() => { $("summed").textContent = "The box does not answer."; });
}

$("label").onchange = show;
$("year").onclick = () => choose(true);
$("fortnight").onclick = () => choose(false);
