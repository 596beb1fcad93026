// The page: one picture after the other, what is said about it, and what the others say.
"use strict";
import { Stage, colour } from "/canvas.js";
import { KEYS, listen } from "/keys.js";
import { Changes, get, picture, send } from "/talk.js";

const $ = id => document.getElementById(id);
const element = (name, text) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; return e };
const LOOK = 1500; // milliseconds between two looks at what others did
const SHOWN = 60; // pictures in the list
let classes = [], active = 0, order = [], known = new Map(), seq = -1;
let open = null; // { id, labels, changes, undo, redo, proposals, large } of the picture on the stage
let trail = [], opening = 0, held = null, telling = 0;

const stage = new Stage($("stage"), {
  drawn: box => classes.length ? add(box) : ask(box),
  changed: (index, box) => alter(index, { box }),
  selected: () => panels(),
  clicked: () => {},
  looked: () => closer(),
});

function say(text, bad = false) {
  $("told").textContent = text; $("told").hidden = !text; clearTimeout(telling);
  if (text) telling = setTimeout(() => { $("told").hidden = true }, bad ? 12000 : 4000);
}

function state(kind, text) { $("state").className = kind; $("state").textContent = text }

// ---- pictures -----------------------------------------------------------------------------------------------------

async function show(id, back = false) {
  if (id === undefined || id === null) return;
  const turn = ++opening;
  await open?.changes.settled();
  if (turn !== opening) return;
  if (open && !back && open.id !== id) trail.push(open.id);
  picture(id).catch(() => {});
  let found;
  try { found = await get(`/api/pictures/${id}`) } catch (error) { say(error.message, true); return }
  if (turn !== opening) return;
  open = { id, changes: new Changes(found, state), large: false };
  stage.names = classes; stage.selected = null; stage.proposals = [];
  take(found);
  stage.open(found.width, found.height);
  $("name").firstChild.textContent = $("name").title = found.name;
  location.replace(`#${id}`);
  refresh();
  try { const url = await picture(id); if (open.id === id) stage.show(url) } catch (error) { say(error.message, true) }
  const next = following(1, true);
  if (next !== undefined) picture(next).catch(() => {});
}

// The state of the open picture, as the server has it.
function take(found) {
  open.labels = found.labels; open.undo = found.undo; open.redo = found.redo;
  const one = known.get(found.id);
  if (one) Object.assign(one, { done: found.labels.done, marks: found.labels.marks.length });
  stage.marks = [...found.labels.marks];
  if (stage.selected && stage.selected.index >= stage.marks.length) stage.selected = null;
  stage.render(); panels();
}

// A sharper picture once the eye can use it.
async function closer() {
  if (!open || open.large || Math.max(stage.width, stage.height) <= 1600) return;
  if (stage.scale * devicePixelRatio * Math.max(stage.width, stage.height) < 2200) return;
  const id = open.id; open.large = true;
  try { const url = await picture(id, 4096); if (open.id === id) stage.show(url) } catch { /* the small one stays */ }
}

function following(way, undone = false, from = open?.id) {
  const at = order.indexOf(from);
  for (let i = 1; i < order.length; i++) {
    const id = order[(at + way * i + order.length * 2) % order.length];
    if (!undone || !known.get(id).done) return id;
  }
  return undefined;
}

async function look() {
  const found = await get(`/api/pictures?after=${seq}`);
  for (const [id, name, done, marks, number] of found.pictures) {
    if (!known.has(id)) order.push(id);
    known.set(id, { id, name, done, marks }); seq = Math.max(seq, number);
  }
  if (String(found.classes) !== String(classes)) { classes = found.classes; stage.names = classes; refresh() }
  if (!open?.changes.pending) state(found.behind ? "bad" : "saved", found.behind.split("\n")[0] || "saved");
  const here = open && found.pictures.some(row => row[0] === open.id);
  if (here && !open.changes.pending && !stage.drag) {
    const now = await get(`/api/pictures/${open.id}`);
    if (now.id === open?.id && !open.changes.pending && now.revision > open.changes.picture.revision) {
      open.changes.picture = now; take(now); say("Another window changed this picture.");
    }
  }
  if (found.pictures.length) refresh();
}

// ---- changes ------------------------------------------------------------------------------------------------------

// Shown at once, stored behind it; where somebody else was quicker theirs is shown.
async function change(labels, nudge = false) {
  const mine = open;
  mine.labels = labels; stage.marks = [...labels.marks]; stage.render(); panels();
  return stored(mine, mine.changes.put(labels, nudge));
}

async function stored(mine, answer) {
  try {
    const found = await answer;
    if (mine === open && !mine.changes.pending) take(found); else if (mine === open) mine.undo = true;
    refresh();
    return true;
  } catch (error) {
    if (error.now) {
      mine.changes.picture = error.now;
      say("Another window was quicker: its boxes are shown, your last change is not stored.", true);
      if (mine === open) take(error.now);
    } else {
      say(error.message, true);
      if (mine === open) take(mine.changes.picture);
    }
    return false;
  }
}

function add(box, label = active, origin = "hand") {
  const marks = [...open.labels.marks, { box, label, origin }];
  stage.selected = { index: marks.length - 1 };
  change({ ...open.labels, marks });
}

function alter(index, what, nudge = false) {
  const marks = open.labels.marks.map((mark, i) => i === index ? { ...mark, ...what } : mark);
  change({ ...open.labels, marks }, nudge);
}

function remove() {
  const index = stage.selected?.index;
  if (index === undefined) return acts.reject();
  stage.selected = null;
  change({ ...open.labels, marks: open.labels.marks.filter((_, i) => i !== index) });
}

async function walk(way) {
  await open.changes.settled();
  if (way === "undo" && !open.undo && trail.length) { // what was done last is a picture back
    await show(trail.pop(), true);
    say("Back to the picture before.");
  }
  if (way === "undo" ? !open.undo : !open.redo) return;
  stored(open, open.changes.step(way));
}

async function done() {
  const mine = open;
  if (!(await change({ ...mine.labels, done: true })) || mine !== open) return;
  const next = following(1, true);
  if (next === undefined) say("All pictures are done."); else show(next);
}

// ---- classes ------------------------------------------------------------------------------------------------------

function ask(box) { held = box; say("What is it called? Name its class."); $("class-name").focus() }

$("new-class").onsubmit = async event => {
  event.preventDefault();
  const name = $("class-name").value.trim();
  if (!name) return;
  try {
    const found = await send("/api/classes", { name });
    classes = found.classes; stage.names = classes; $("class-name").value = "";
    if (held) { active = found.label; add(held); held = null } else choose(found.label);
    say(""); $("stage").focus(); refresh();
  } catch (error) { say(error.message, true) }
};

function choose(label) {
  if (label >= classes.length) return false;
  active = label;
  const index = stage.selected?.index;
  if (index !== undefined && open.labels.marks[index].label !== label) alter(index, { label }); else panels();
}

// ---- what can be done ---------------------------------------------------------------------------------------------

function turn(way) {
  const all = [...stage.marks.map((_, index) => ({ index })), ...stage.proposals.map((_, proposal) => ({ proposal }))];
  const at = all.findIndex(one => one.index === stage.selected?.index && one.proposal === stage.selected?.proposal);
  const next = at < 0 ? (way > 0 ? 0 : all.length - 1) : at + way;
  stage.select(all[next] ?? null);
  return next >= 0 && next < all.length;
}

const acts = {
  done, next: () => { show(following(1)) }, previous: () => { show(following(-1)) },
  create: () => {
    const [x, y, w, h] = stage.view, side = Math.min(w, h) / 8, box = stage.inside([x + w / 2 - side, y + h / 2 - side, x + w / 2 + side, y + h / 2 + side]);
    if (classes.length) add(box); else ask(box);
  },
  after: () => turn(1), before: () => turn(-1), classes: () => $("class-name").focus(), delete: remove,
  undo: () => { walk("undo") }, redo: () => { walk("redo") }, fit: () => stage.look(null), leave: () => stage.select(null),
  accept: () => false, acceptAll: () => false, reject: () => false,
  help: () => $("help").showModal(),
  zoom: way => stage.zoom(way > 0 ? 1.4 : 1 / 1.4), digit: n => choose(n - 1),
  arrow: (dx, dy, resize, fine) => {
    const index = stage.selected?.index;
    if (index === undefined) { if (!dx) return false; show(following(dx)); return }
    const step = fine ? 1 : Math.max(1, Math.round(stage.view[2] / 200)), box = stage.marks[index].box;
    const to = resize ? stage.cornered(box, 2, [box[2] + dx * step, box[3] + dy * step]) : stage.shifted(box, dx * step, dy * step);
    alter(index, { box: to }, true);
  },
};
listen(acts, $("stage"));

// ---- what stands beside the picture -------------------------------------------------------------------------------

function row(text, label, key, press) {
  const li = element("li"), button = element("button"), i = element("i");
  i.style.background = label === null ? "none" : colour(label);
  button.append(i, element("span", text));
  if (key) button.append(element("kbd", key));
  button.onclick = press; li.append(button);
  return li;
}

function marked(li, is) { li.firstChild.setAttribute("aria-pressed", is); return li }

function panels() {
  if (!open) return;
  const { marks, done: is } = open.labels, chosen = stage.selected?.index;
  $("classes").replaceChildren(...classes.map((name, i) => marked(row(name, i, i < 9 ? i + 1 : "", () => { choose(i); $("stage").focus() }), i === active)));
  $("boxes").replaceChildren(...marks.map((mark, i) => {
    const [x, y, x2, y2] = mark.box;
    return marked(row(`${classes[mark.label] ?? "?"} ${Math.round(x2 - x)} × ${Math.round(y2 - y)}`, mark.label, "", () => { stage.select({ index: i }); $("stage").focus() }), i === chosen);
  }));
  $("empty").hidden = marks.length > 0 || is;
  $("undo").disabled = !open.undo && !trail.length; $("redo").disabled = !open.redo; $("delete").disabled = chosen === undefined;
  $("done").textContent = is ? "Done ✓" : "Done"; $("done").className = is ? "is" : "";
}

function refresh() {
  const all = order.map(id => known.get(id)), at = Math.max(0, order.indexOf(open?.id));
  $("progress").textContent = `${all.filter(one => one.done).length} of ${all.length} done`;
  const from = Math.max(0, Math.min(at - SHOWN / 2, all.length - SHOWN));
  $("queue").replaceChildren(...all.slice(from, from + SHOWN).map(one => {
    const li = marked(row(one.name, null, one.done ? `✓ ${one.marks}` : one.marks || "", () => show(one.id)), one.id === open?.id);
    li.firstChild.title = one.name;
    return li;
  }));
  const here = $("queue").querySelector("[aria-pressed=true]");
  if (here) $("queue").scrollTop = here.offsetTop - $("queue").offsetTop - $("queue").clientHeight / 2;
  panels();
}

for (const id of ["previous", "next", "undo", "redo", "delete", "done"]) $(id).onclick = () => acts[id]();
$("over").onclick = () => { stage.over = !stage.over; $("over").setAttribute("aria-pressed", stage.over) };
$("help-open").onclick = acts.help;
for (const { keys, name } of KEYS) {
  const dt = element("dt");
  keys.forEach((key, i) => dt.append(i ? " " : "", element("kbd", key)));
  $("keys").append(dt, element("dd", name));
}
addEventListener("beforeunload", event => { if (open?.changes.pending) event.preventDefault() });

async function begin() {
  const told = await get("/api/session");
  classes = told.classes; $("folder").textContent = told.folder; document.title = `${told.folder} – edgekit label`;
  await look();
  const asked = Number(location.hash.slice(1));
  await show(known.has(asked) ? asked : order.find(id => !known.get(id).done) ?? order[0]);
  state("saved", "saved"); $("stage").focus();
  for (;;) {
    await new Promise(done => setTimeout(done, LOOK));
    try { if (!document.hidden) await look() } catch { if (!open.changes.pending) state("bad", "The server does not answer.") }
  }
}
begin().catch(error => { state("bad", "no answer"); say(error.message, true) });
