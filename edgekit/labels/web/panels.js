// What stands beside the picture: classes, boxes, the queue, how far it is.
"use strict";
import { colour } from "/canvas.js";
import { KEYS } from "/keys.js";

const SHOWN = 60; // pictures in the list
export const $ = id => document.getElementById(id);
const element = (name, text) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; return e };

let telling = 0;

export function say(text, bad = false) {
  $("told").textContent = text; $("told").hidden = !text; clearTimeout(telling);
  if (text) telling = setTimeout(() => { $("told").hidden = true }, bad ? 12000 : 4000);
}

export function state(kind, text) { $("state").className = kind; $("state").textContent = text }

function row(text, label, key, is, press) {
  const li = element("li"), button = element("button"), i = element("i");
  i.style.background = label === null ? "none" : colour(label);
  button.append(i, element("span", text));
  if (key) button.append(element("kbd", key));
  button.title = text; button.setAttribute("aria-pressed", is); button.onclick = press;
  li.append(button);
  return li;
}

// `page`: { open, classes, active, stage, trail }; `on`: choose(label), pick(index).
export function panels(page, on) {
  const { open, classes, active, stage, trail } = page, { marks, done: is } = open.labels, chosen = stage.selected?.index;
  $("classes").replaceChildren(...classes.map((name, i) => row(name, i, i < 9 ? i + 1 : "", i === active, () => on.choose(i))));
  $("boxes").replaceChildren(...marks.map(({ box: [x, y, x2, y2], label }, i) =>
    row(`${classes[label] ?? "?"} ${Math.round(x2 - x)} × ${Math.round(y2 - y)}`, label, "", i === chosen, () => on.pick(i))));
  $("empty").hidden = marks.length > 0 || is;
  $("undo").disabled = !open.undo && !trail.length; $("redo").disabled = !open.redo; $("delete").disabled = !stage.selected;
  for (const id of ["accept", "reject", "accept-all"]) $(id).disabled = !stage.proposals.length;
  $("done").textContent = is ? "Done ✓" : "Done"; $("done").className = is ? "is" : "";
}

// `page`: { open, order, known }.
export function queue(page, show) {
  const { open, order, known } = page, all = order.map(id => known.get(id)), at = Math.max(0, order.indexOf(open?.id));
  $("progress").textContent = `${all.filter(one => one.done).length} of ${all.length} done`;
  const from = Math.max(0, Math.min(at - SHOWN / 2, all.length - SHOWN));
  $("queue").replaceChildren(...all.slice(from, from + SHOWN).map(one =>
    row(one.name, null, one.done ? `✓ ${one.marks}` : one.marks || "", one.id === open?.id, () => show(one.id))));
  const here = $("queue").querySelector("[aria-pressed=true]");
  if (here) $("queue").scrollTop = here.offsetTop - $("queue").offsetTop - $("queue").clientHeight / 2;
}

export function helpKeys() {
  for (const { keys, name } of KEYS) {
    const dt = element("dt");
    keys.forEach((key, i) => dt.append(i ? " " : "", element("kbd", key)));
    $("keys").append(dt, element("dd", name));
  }
}
