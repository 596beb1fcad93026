// The page: one picture after the other, what is said about it, and what the others say.
"use strict";
import { Stage, overlap } from "/canvas.js";
import { listen } from "/keys.js";
import { $, helpKeys, panels as showPanels, queue, say, state } from "/panels.js";
import { Changes, get, picture, send } from "/talk.js";

const LOOK = 1500; // milliseconds between two looks at what others did
let classes = [], active = 0, order = [], sorted = -1, known = new Map(), seq = -1, helped = {};
let open = null; // { id, labels, changes, undo, redo, proposals, large } of the picture on the stage
let trail = [], opening = 0, held = null;
const ahead = new Map(); // of the pictures that may come next: what the server says of them

const stage = new Stage($("stage"), {
  drawn: box => tight(box),
  changed: (index, box) => alter(index, { box }),
  selected: () => panels(),
  clicked: (x, y) => pointed(x, y),
  looked: () => closer(),
});

// ---- pictures -----------------------------------------------------------------------------------------------------

async function show(id, back = false) {
  if (id === undefined || id === null) return;
  const turn = ++opening;
  await open?.changes.settled();
  if (turn !== opening) return;
  if (open && !back && open.id !== id) trail.push(open.id);
  picture(id).catch(() => {});
  const early = ahead.get(id);
  let found = early;
  try { found ??= await get(`/api/pictures/${id}`) } catch (error) { say(error.message, true); return }
  if (turn !== opening) return;
  open = { id, changes: new Changes(found, state), large: false, offered: [] };
  stage.names = classes; stage.selected = null; stage.proposals = []; stage.masks.clear();
  take(found);
  stage.open(found.width, found.height);
  $("name").firstChild.textContent = $("name").title = found.name;
  location.replace(`#${id}`);
  refresh(); propose(id);
  try { const image = await picture(id); if (open.id === id) stage.show(image) } catch (error) { say(error.message, true) }
  if (open.id !== id) return;
  if (early) fresh().catch(() => {});
  lookAhead(id);
}

// The next picture is ready when it is asked for; whether somebody changed it meanwhile is asked once it is shown.
function lookAhead(id) {
  ahead.clear();
  for (const next of new Set([following(1, true), following(1)])) {
    if (next === undefined) continue;
    picture(next).catch(() => {});
    get(`/api/pictures/${next}`).then(found => { if (open.id === id) ahead.set(next, found) }).catch(() => {});
    if (helped.proposes || helped.segments) get(`/api/pictures/${next}/proposals`).catch(() => {});
  }
}

// The state of the open picture, as the server has it.
function take(found) {
  open.labels = found.labels; open.undo = found.undo; open.redo = found.redo;
  const one = known.get(found.id);
  if (one) Object.assign(one, { done: found.labels.done, marks: found.labels.marks.length });
  stage.marks = [...found.labels.marks];
  if (stage.selected && stage.selected.index >= stage.marks.length) stage.selected = null;
  offer();
}

// A sharper picture once the eye can use it.
async function closer() {
  if (!open || open.large || Math.max(stage.width, stage.height) <= 1600) return;
  if (stage.scale * devicePixelRatio * Math.max(stage.width, stage.height) < 2200) return;
  const id = open.id; open.large = true;
  try { const image = await picture(id, 4096); if (open.id === id) stage.show(image) } catch { /* the small one stays */ }
}

function following(way, undone = false, from = open?.id) {
  const at = order.indexOf(from);
  for (let i = 1; i < order.length; i++) {
    const id = order[(at + way * i + order.length * 2) % order.length];
    if (!undone || !known.get(id).done) return id;
  }
  return undefined;
}

// ---- proposals ----------------------------------------------------------------------------------------------------

async function propose(id) {
  if (!helped.proposes && !helped.segments) return;
  $("proposed").textContent = "…";
  try {
    const offered = await get(`/api/pictures/${id}/proposals`);
    if (open.id !== id) return;
    open.blind = offered === null; open.offered = offered ?? [];
    if (offer() && !stage.selected) stage.select({ proposal: 0 });
  } catch (error) { if (open.id === id) $("proposed").textContent = error.message }
}

// Those that nobody has answered yet: not where a box is, not what was rejected, none once it is done.
function offer() {
  const { marks, rejected, done: is } = open.labels, answered = [...marks.map(mark => mark.box), ...rejected];
  stage.proposals = is ? [] : open.offered.filter(one => !answered.some(box => overlap(box, one.box) > .5));
  const n = stage.proposals.length;
  if (stage.selected?.proposal >= n) stage.selected = n ? { proposal: n - 1 } : null;
  $("proposed").textContent = open.blind ? "held back, to be measured" : n ? `${n}` : "none";
  stage.render(); panels();
  return n;
}

const accepted = chosen => chosen.map(one => ({ box: one.box, label: one.label ?? active, origin: "proposal" }));

function accept(all) {
  if (!stage.proposals.length) return false;
  const chosen = all ? stage.proposals : [stage.proposals[stage.selected?.proposal ?? 0]];
  if (!classes.length) return ask(chosen[0].box);
  const marks = [...open.labels.marks, ...accepted(chosen)];
  if (all) stage.selected = null; else stage.selected ??= { proposal: 0 };
  change({ ...open.labels, marks });
}

function reject() {
  if (!stage.proposals.length) return false;
  const { box } = stage.proposals[stage.selected?.proposal ?? 0];
  stage.selected ??= { proposal: 0 };
  change({ ...open.labels, rejected: [...open.labels.rejected, box] });
}

// The box of the thing under a click, or of the thing in a drawn box; its mask is shown as long as the box stays so.
async function asked(what) {
  const id = open.id;
  state("busy", "asking…");
  try {
    const { box, outline } = await send(`/api/pictures/${id}/segment`, what);
    state("saved", "saved");
    if (open.id !== id) return undefined;
    if (box) stage.masks.set(String(box), outline);
    return box;
  } catch (error) { state("saved", "saved"); say(error.message, true); return null }
}

const put = box => classes.length ? add(box) : ask(box);

async function tight(box) {
  const found = helped.segments ? await asked({ box }) : null;
  if (found !== undefined) put(found && overlap(found, box) > .5 ? found : box);
}

async function pointed(x, y) {
  if (!helped.clicks) return;
  const box = await asked({ points: [[x, y]], inside: [true] });
  if (box) put(box); else if (box === null) say("Nothing was found there.");
}

// ---- what others did ----------------------------------------------------------------------------------------------

async function look() {
  const found = await get(`/api/pictures?after=${seq}`);
  for (const [id, name, done, marks, number] of found.pictures) {
    known.set(id, { id, name, done, marks }); seq = Math.max(seq, number);
  }
  if (found.order !== sorted) { order = await get("/api/order"); sorted = found.order; if (open) refresh() }
  if (found.told) { $("measured").textContent = found.told; $("measured").hidden = false }
  if (String(found.classes) !== String(classes)) { classes = found.classes; stage.names = classes; refresh() }
  if (!open?.changes.pending) state(found.behind ? "bad" : "saved", found.behind.split("\n")[0] || "saved");
  const here = open && found.pictures.some(row => row[0] === open.id);
  if (here && !open.changes.pending && !stage.drag) await fresh();
  if (found.pictures.length) refresh();
}

async function fresh() {
  const now = await get(`/api/pictures/${open.id}`);
  if (now.id === open?.id && !open.changes.pending && !stage.drag && now.revision > open.changes.picture.revision) {
    open.changes.picture = now; take(now); say("Another window changed this picture.");
  }
}

// ---- changes ------------------------------------------------------------------------------------------------------

// Shown at once, stored behind it; where somebody else was quicker theirs is shown.
async function change(labels, nudge = false) {
  const mine = open;
  mine.labels = labels; stage.marks = [...labels.marks]; offer();
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
  if (index === undefined) return stage.selected ? reject() : undefined;
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

async function done(all = false) {
  const mine = open, chosen = all ? stage.proposals : [];
  if (chosen.length && !classes.length) { ask(chosen[0].box); return }
  const marks = [...mine.labels.marks, ...accepted(chosen)];
  if (!(await change({ ...mine.labels, marks, done: true })) || mine !== open) return;
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
  done: () => done(), acceptDone: () => done(true), next: () => { show(following(1)) }, previous: () => { if (trail.length) show(trail.pop(), true); else show(following(-1)) },
  create: () => {
    const [x, y, w, h] = stage.view, side = Math.min(w, h) / 8, box = stage.inside([x + w / 2 - side, y + h / 2 - side, x + w / 2 + side, y + h / 2 + side]);
    if (classes.length) add(box); else ask(box);
  },
  after: () => turn(1), before: () => turn(-1), classes: () => $("class-name").focus(), delete: remove,
  undo: () => { walk("undo") }, redo: () => { walk("redo") }, fit: () => stage.look(null), leave: () => stage.select(null),
  accept: () => accept(false), acceptAll: () => accept(true), reject,
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

const on = {
  choose: label => { choose(label); $("stage").focus() },
  pick: index => { stage.select({ index }); $("stage").focus() },
};
function panels() { if (open) showPanels({ open, classes, active, stage, trail }, on) }
function refresh() { queue({ open, order, known }, show); panels() }

for (const id of ["previous", "next", "undo", "redo", "delete", "done", "accept", "reject"]) $(id).onclick = () => { acts[id]() };
$("accept-all").onclick = () => { acts.acceptAll() };
$("over").onclick = () => { stage.over = !stage.over; $("over").setAttribute("aria-pressed", stage.over) };
$("help-open").onclick = acts.help;
helpKeys();
addEventListener("beforeunload", event => { if (open?.changes.pending) event.preventDefault() });

async function begin() {
  const told = helped = await get("/api/session");
  $("proposing").hidden = !told.proposes;
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
