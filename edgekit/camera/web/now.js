// What it is like at the hive now, in words that need no manual.

import { $, ago, button, count, element, get, hive, hornetsFirst, isHornet, isToday, lasted, when } from "./talk.js";

const WORDS = { none: "No hornets", present: "Present", risk: "Risk", high: "High risk", paralysis: "Paralysis" };
const MEANS = {
  none: "", present: "Fewer than 5 at once.", risk: "5 or more at once are a risk for the hive.",
  high: "10 or more at once are a high risk for the hive.", paralysis: "At 13 or more bees stop flying out for food.",
};
const LOST = {
  connecting: "The camera is not there yet.", offline: "The camera is lost.",
  stalled: "The camera sends no pictures.", frozen: "The camera's picture stands still.",
  dark: "It is too dark to see anything.", ended: "The recording is over.",
};

const RANKS = ["none", "present", "unknown", "risk", "high", "paralysis"];  // what a keeper should know of first
const state = s => s.watching && s.now ? s.now.level : "unknown";
export const worst = cameras => cameras.reduce((a, b) => RANKS.indexOf(state(b)) > RANKS.indexOf(state(a)) ? b : a);

const kinds = s => s.labels.filter(isHornet);
const hornets = n => n === 1 ? "1 hornet" : `${n} hornets`;
let today = null;
let answered = null;  // when the box last did
const opened = new Date();

function show(cls, word, many, since, means) {
  $("now").className = cls;
  const texts = { level: word, many, since, means };
  for (const id in texts) if ($(id).textContent !== texts[id]) $(id).textContent = texts[id];
  $("level").className = word.length > 9 ? "long" : "";
}

const sinceText = moment => `since ${when(moment)}, for ${ago(moment)}`;

function blind(s) {
  if (s.source.state in LOST) return LOST[s.source.state];
  if (s.why.startsWith("the model fails")) return "The box cannot make out what is in the pictures.";
  if (s.rate.mode === "paused") return "The box is too hot and takes a rest.";
  return s.why ? `${s.why[0].toUpperCase()}${s.why.slice(1)}.` : "";
}

function unknown(s) {
  const lost = s.frame_age === null ? null : new Date(Date.now() - 1000 * s.frame_age);
  if (lost === null && s.uptime < 15) return show("unknown starting", "Starting", blind(s), "", "");
  const before = s.now ? ` Before that: ${kinds(s).length ? `${WORDS[s.now.level].toLowerCase()}${s.now.hornets ? `, ${hornets(s.now.hornets)} at once` : ""}.` : "see below."}` : "";
  show("unknown", "Not watching", blind(s), lost ? sinceText(lost) : "", `What comes to the hive now is not seen.${before}`);
}

function known(s) {
  const { level, since, counts } = s.now;
  const from = new Date(since);
  if (!kinds(s).length) {  // a model that knows no hornets says nothing of danger
    const [label, most] = Object.entries(counts).sort((a, b) => b[1] - a[1])[0] ?? ["", 0];
    return show("none", most ? count(most, label) : "Nothing", "at once, in the last minute", "", "");
  }
  const began = level === "none" && Math.abs(Date.now() - from - 1000 * s.uptime) < 30000;
  const many = level === "none" ? "None seen" : `${hornets(s.now.hornets)} at once`;
  const dark = s.source.state === "dark" ? " It is dark: the camera sees little." : "";
  show(level, WORDS[level], many, began ? `since ${when(from)}, when the box started` : sinceText(from), MEANS[level] + dark);
}

export function tellToday(s) {
  const names = s && today ? kinds(s) : [];
  const found = names.map(name => today.labels[name]).filter(Boolean);
  const now = s?.now && isToday(new Date(s.now.seen)) ? s.now.hornets : 0;  // the store learns of it a little later
  const most = Math.max(now, ...found.map(f => f.most)), visits = found.reduce((sum, f) => sum + f.visits, 0);
  const firsts = found.map(f => f.first).filter(Boolean).sort();
  let text = "";
  if (names.length && most + visits === 0) text = today.watched ? `Today: none in ${lasted(today.watched)} of watching` : "Today: nothing watched yet";
  else if (names.length) {
    text = `Today: at most ${most} at once, ${visits} ${visits === 1 ? "visit" : "visits"}`;
    if (firsts.length) text += `, the first at ${when(new Date(firsts[0]))}`;
  }
  $("today").textContent = text;
  $("today").hidden = !text;
}

export async function askToday(s) {
  today = s?.store.kept ? await get("api/today") : null;
  tellToday(s);
}

function hives(cameras, choose) {
  $("hives").hidden = cameras.length < 2;
  const made = cameras.map(s => {
    const here = state(s), tile = button("", () => choose(s.camera));
    tile.className = here;
    tile.setAttribute("aria-pressed", s.camera === hive.name);
    const number = here !== "unknown" && s.now.hornets ? `: ${hornets(s.now.hornets)}` : "";
    tile.append(element("b", s.camera), here === "unknown" ? "Not watching" : WORDS[here] + number);
    return tile;
  });
  const key = made.map(tile => tile.outerHTML).join("");
  if ($("hives").dataset.key === key) return;  // a tile that is being pressed stays
  $("hives").dataset.key = key;
  $("hives").replaceChildren(...made);
}

function troubles({ trouble, undelivered }) {
  const told = [];
  if (trouble && trouble !== undelivered) told.push("Not everything can be kept. Hornets are still looked for.", element("small", trouble));
  if (undelivered) told.push("Not everybody can be told now. Hornets are still looked for.", element("small", undelivered));
  $("trouble").hidden = !told.length;
  const key = `${trouble} ${undelivered}`;
  if ($("trouble").dataset.key === key) return;  // it is read aloud once
  $("trouble").dataset.key = key;
  $("trouble").replaceChildren(...told);
}

export function tell(s, all, choose) {
  answered = new Date();
  document.body.classList.remove("stale");
  document.title = $("camera").textContent = s.camera;
  $("fresh").textContent = `${all.device} · ${answered.toLocaleTimeString()}`;
  hives(all.cameras, choose);
  if (s.watching && s.now) known(s); else unknown(s);
  troubles(s.output);
  tellToday(s);
}

export function noAnswer() {
  document.body.classList.add("stale");
  $("fresh").textContent = "no answer";
  $("trouble").hidden = true;
  const from = answered ?? opened;
  show("unknown", "No answer", "The box cannot be reached.", `since ${when(from)}, for ${ago(from)}`,
    answered ? "What stands below is from before that." : "");
}

const UPDATES = {
  trial: "is on trial", kept: "passed its trial and looks", returned: "failed its trial, the one before it looks again",
  refused: "was refused, nothing was changed",
};

function updated({ outcome, model, why, at }) {
  if (!(outcome in UPDATES)) return "";
  return `${model} ${UPDATES[outcome]}, since ${when(new Date(at))}${why ? ` (${why})` : ""}`;
}

function standing({ name, state, restarts, why, for: seconds }) {
  const times = restarts === 1 ? "once" : `${restarts} times`;
  if (state === "failed") return ["stands still", `${name}, for ${lasted(seconds)}: ${why}`];
  if (state === "restarted") return ["started again", `${name}, ${times}, ${lasted(seconds)} ago: ${why}`];
  return restarts ? ["started again", `${name}, ${times}; well for ${lasted(seconds)}`] : null;
}

export function technical(s, all) {
  const facts = [["looks", `${s.rate.fps} a second` + (s.rate.mode === "normal" ? "" : ` (${s.rate.mode})`)]];
  const add = (name, value) => facts.push([name, value]);
  add("camera", s.source.state + (s.source.detail ? `: ${s.source.detail}` : ""));
  if (s.why) add("not ready", s.why);
  if (s.age.ms_p50 !== null) add("delay", `${Math.round(s.age.ms_p50)} ms`);
  if (s.model.ms_p50 !== null) add("model", `${Math.round(s.model.ms_p50)} ms a look`);
  if (updated(all.update)) add("new model", updated(all.update));
  facts.push(...all.parts.map(standing).filter(Boolean));
  if (s.source.width) add("picture", `${s.source.width}×${s.source.height}`);
  if (s.rate.celsius !== null) add("board", `${Math.round(s.rate.celsius)} °C`);
  add("running", lasted(s.uptime));
  for (const key in s.output) if (/_(lost|removed)$/.test(key) && s.output[key]) add(key.replaceAll("_", " "), `${s.output[key]}`);
  for (const row of s.output.deliveries) if (row.failed || row.last_problem) add(row.name, row.last_problem || `${row.failed} failed`);
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  const trained = s.model.trained_on;
  $("made").hidden = trained !== "made pictures";
  $("origin").textContent = ["", "made pictures", "recorded pictures"].includes(trained) ? "" : `The model was trained on ${trained}.`;
}

export const labelsOf = s => hornetsFirst(s.labels);
