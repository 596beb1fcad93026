"use strict";
const $ = id => document.getElementById(id), NS = "http://www.w3.org/2000/svg";
const HORNET = /hornet|vespa|velutina|crabro|frelon|hornisse|avisp|calabron/i;
const LEVEL = (most, label) => !HORNET.test(label) ? most ? "present" : "none" : most >= 13 ? "paralysis" : most >= 10 ? "high" : most >= 5 ? "risk" : most >= 1 ? "present" : "none";
const get = async path => { const r = await fetch(path, { cache: "no-store" }); if (r.status === 401) location.reload(); if (!r.ok) throw Error(r.status); return r.json() };
const add = (parent, name, keys, text) => { const e = document.createElementNS(NS, name); for (const k in keys) e.setAttribute(k, keys[k]); if (text !== undefined) e.textContent = text; parent.append(e); return e };
const element = (name, text, cls) => { const e = document.createElement(name); if (text) e.textContent = text; if (cls) e.className = cls; return e };
const time = text => new Date(text).toLocaleString(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const lasted = v => { const s = Math.max(1, Math.round((new Date(v.last_seen) - new Date(v.start)) / 1000)); return s < 90 ? `${s}\u00a0s` : `${Math.round(s / 60)}\u00a0min` };
let kept = false, labels = [], counts = null, oldest = "", shown = new Map(), paged = false, live = 0;

async function status() {
  try {
    const s = await get("api/status");
    kept = s.store.kept; labels = s.labels;
    document.title = $("camera").textContent = s.camera; $("device").textContent = s.device;
    $("state").textContent = s.ready ? "watching" : s.source.state === "online" ? "not watching" : s.source.state;
    $("state").className = s.ready ? "ok" : "bad"; $("why").textContent = s.why; $("made").hidden = s.model.trained_on !== "made pictures";
    $("origin").textContent = ["", "made pictures", "recorded pictures"].includes(s.model.trained_on) ? "" : `The model was trained on ${s.model.trained_on}.`;
    const now = $("now"); now.replaceChildren();
    const say = (name, value) => { const e = element("span"); e.append(name + " ", element("b", value)); now.append(e) };
    for (const v of s.open) say(v.label, String(v.count));
    say("looks", `${s.rate.fps}/s` + (s.rate.mode === "normal" ? "" : ` (${s.rate.mode})`));
    if (s.age.ms_p50 !== null) say("delay", `${Math.round(s.age.ms_p50)} ms`);
    if (s.source.width) say("picture", `${s.source.width}×${s.source.height}`);
    for (const key in s.output) if (/_(lost|removed)$/.test(key) && s.output[key]) say(key.replace("_", " "), String(s.output[key]));
    if (s.rate.celsius !== null) say("board", `${Math.round(s.rate.celsius)} °C`);
    $("none").textContent = shown.size ? "" : s.store.kept ? "No visits yet." : "Nothing is kept: give store.folder a name.";
    if (!live && s.source.width) { live = 1; $("picture").src = "live.mjpg" }
  } catch (e) { $("state").textContent = "no answer"; $("state").className = "bad"; $("why").textContent = "The box does not answer."; live = 0 }
}

function bars(svg, rows, height, every, name) {
  svg.replaceChildren();
  const left = 24, width = 420 - left, top = 12, most = Math.max(4, ...rows.map(r => r.most)), step = width / rows.length;
  for (const tick of [0, Math.ceil(most / 2), most]) {
    const y = top + height * (1 - tick / most);
    add(svg, "line", { x1: left, x2: 420, y1: y, y2: y, stroke: "var(--line)" }); add(svg, "text", { x: left - 5, y: y + 4, "text-anchor": "end" }, tick);
  }
  rows.forEach((r, i) => {
    const h = height * r.most / most, x = left + i * step, w = Math.max(1, step * .78);
    if (r.watched === 0 && !r.most) add(svg, "rect", { x: x + step * .11, y: top + height - 10, width: w, height: 10, fill: "none", stroke: "var(--soft)", "stroke-dasharray": "2 2", opacity: .6 });
    const bar = add(svg, "rect", { class: "bar", x: x + step * .11, y: top + height - Math.max(h, 1.5), width: w, height: Math.max(h, 1.5), rx: Math.min(2, w / 3), fill: `var(--${LEVEL(r.most, $("label").value)})` });
    add(bar, "title", {}, `${name(r)}: ${r.most}`);
    if (r.tick) add(svg, "text", { x: x + step / 2, y: top + height + 15, "text-anchor": "middle" }, r.tick);
    if (r.most && every) add(svg, "text", { x: x + step / 2, y: top + height - h - 3, "text-anchor": "middle" }, r.most);
  });
}

function draw() {
  const label = $("label").value, days = counts.days, found = counts.labels[label] || days.map(() => ({ most: 0 }));
  bars($("days"), days.map((day, i) => ({ day, most: found[i].most, watched: counts.watched[day] ?? 0, tick: i % 3 === (days.length - 1) % 3 ? day.slice(8) + "." + day.slice(5, 7) + "." : "" })), 145, true, r => r.day);
  const quarter = counts.today.labels[label] || {}, rows = [];
  for (let i = 0, at = counts.today.from; i < 96; i++, at += counts.today.bucket) {
    const hour = new Date(at * 1000);
    rows.push({ at, most: quarter[at] || 0, watched: 1, tick: hour.getMinutes() === 0 && hour.getHours() % 6 === 0 ? `${hour.getHours()}:00` : "" });
  }
  bars($("quarters"), rows, 70, false, r => new Date(r.at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }));
}

async function chart() {
  counts = await get("api/counts?days=14");
  const select = $("label"), names = Object.keys(counts.labels).sort((a, b) => HORNET.test(b) - HORNET.test(a) || a.localeCompare(b));
  if ([...select.options].map(o => o.value).join() !== names.join()) {
    const kept = select.value; select.replaceChildren(...names.map(n => new Option(n, n))); if (names.includes(kept)) select.value = kept;
  }
  select.hidden = names.length < 2; if (counts.today.from) draw();
}

const SAID = { right: "right", false: "no such insect", other: "another insect" };
function marking(v) {
  const line = element("p", "", "mark"), told = element("span", v.mark ? v.mark.verdict === "other" ? `It was: ${v.mark.meant}.` : v.mark.verdict === "false" ? `No ${v.label} there.` : "Right." : "");
  const send = async (verdict, label) => {
    for (const b of line.querySelectorAll("button, select")) b.disabled = true;
    try {
      const r = await fetch(`api/visits/${v.id}/mark`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ verdict, label }) });
      const answer = await r.json(); if (!r.ok) throw Error(answer.error);
      line.replaceWith(marking({ ...v, mark: answer.mark })); shown.get(v.id).said = JSON.stringify(answer.mark);
    } catch (e) { told.textContent = `Not kept: ${e.message}`; for (const b of line.querySelectorAll("button, select")) b.disabled = false }
  };
  const button = (text, name, act) => { const b = element("button", text, "say"); b.setAttribute("aria-label", `${name}: ${v.label}, ${time(v.start)}`); b.onclick = act; line.append(b, " ") };
  if (v.mark) { line.append(told, " "); button("undo", "take back", () => send(null)); return line }
  button("✓ right", SAID.right, () => send("right")); button("✗ false", SAID.false, () => send("false"));
  const others = labels.filter(name => name !== v.label);
  if (others.length) {
    const select = element("select"); select.setAttribute("aria-label", `${SAID.other}: ${v.label}, ${time(v.start)}`);
    select.append(new Option("it is …", ""), ...others.map(name => new Option(name, name))); select.onchange = () => select.value && send("other", select.value); line.append(select);
  }
  line.append(" ", told); return line;
}

function card(v) {
  const li = element("li", "", v.type === "end" ? "" : "open"), box = element("div");
  if (v.snapshot) {
    const a = element("a"), img = element("img"); img.loading = "lazy"; img.alt = `${v.label}, ${time(v.start)}`;
    img.src = a.href = `visits/${v.id}.jpg?${v.snapshot.sha256.slice(0, 8)}`; a.append(img); li.append(a);
  }
  box.append(element("b", v.count_max > 1 ? `${v.count_max} × ${v.label}` : v.label), element("p", `${time(v.start)} · ${lasted(v)}`));
  box.append(element("p", `best ${Math.round(v.top_score * 100)} %` + (v.zones.length ? ` · ${v.zones.join(", ")}` : "") + (v.end_reason && v.end_reason !== "lost" ? ` · ${v.end_reason.replace("_", " ")}` : "")));
  if (kept) box.append(marking(v));
  if (v.clip && v.type === "end") {
    const play = element("button", "▶ clip", "play"), file = element("a", "file");
    play.onclick = () => { const img = li.querySelector("img"); if (img) img.src = `visits/${v.id}.mjpg?${Date.now()}` };
    file.href = `visits/${v.id}.avi`; file.download = ""; const line = element("p"); if (v.snapshot) line.append(play, " "); line.append(file); box.append(line);
  }
  li.append(box); return li;
}

async function visits(older) {
  const rows = await get(`api/visits?limit=24${older ? "&before=" + oldest : ""}`), list = $("list");
  for (const v of older ? rows : [...rows].reverse()) {
    const key = v.seq, said = JSON.stringify(v.mark), old = shown.get(v.id);
    if (old && old.key === key && old.said === said || old && old.li.contains(document.activeElement)) continue;
    const li = card(v);
    if (old) old.li.replaceWith(li); else if (older) list.append(li); else list.prepend(li);
    shown.set(v.id, { key, said, li });
  }
  if (rows.length && (older || !paged)) oldest = rows[rows.length - 1].id;
  if (shown.size) $("none").textContent = "";
  if (older || !paged) $("more").hidden = rows.length < 24;
  paged = paged || older;
}

const again = (what, ms) => { const go = async () => { try { if (!document.hidden) await what() } catch (e) { /* status() tells */ } setTimeout(go, ms) }; go() };
again(status, 2000); again(chart, 15000); again(() => visits(false), 3000);
$("label").onchange = draw; $("more").onclick = () => visits(true);
$("picture").onerror = () => { live = 0 };
document.onvisibilitychange = () => { if (document.hidden) { $("picture").removeAttribute("src"); live = 0 } };
