// Everything a keyboard alone can do. Keys of a line do the same; `name` is what the help says.
"use strict";

export const KEYS = [
  { keys: ["Enter"], name: "done, next picture", act: "done" },
  { keys: ["⇧Enter"], name: "accept all proposals, done, next picture", act: "acceptDone" },
  { keys: ["."], more: ["PageDown"], name: "next picture", act: "next" },
  { keys: [","], more: ["PageUp"], name: "previous picture", act: "previous" },
  { keys: ["N"], name: "new box in the middle", act: "create" },
  { keys: ["Tab", "B"], name: "next box or proposal", act: "after" },
  { keys: ["⇧Tab"], name: "the one before", act: "before" },
  { keys: ["← ↑ ↓ →"], name: "move the box (Ctrl: one pixel)", arrows: true },
  { keys: ["⇧ ← ↑ ↓ →"], name: "make it smaller or larger", arrows: true },
  { keys: ["1 … 9"], name: "its class, and that of new boxes", digits: true },
  { keys: ["C"], name: "name a new class", act: "classes" },
  { keys: ["Delete"], more: ["Backspace", "D"], name: "delete the box", act: "delete" },
  { keys: ["U", "Ctrl Z"], name: "undo", act: "undo" },
  { keys: ["R", "Ctrl Y"], more: ["Ctrl ⇧Z"], name: "redo", act: "redo" },
  { keys: ["A"], name: "accept the proposal", act: "accept" },
  { keys: ["⇧A"], name: "accept all of them", act: "acceptAll" },
  { keys: ["X"], name: "reject the proposal", act: "reject" },
  { keys: ["+", "-"], name: "closer, further away", zoom: true },
  { keys: ["F"], name: "the whole picture", act: "fit" },
  { keys: ["Esc"], name: "no box is selected", act: "leave" },
  { keys: ["?"], name: "this help", act: "help" },
];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BY_KEY = new Map(KEYS.filter(k => k.act).flatMap(k => [...k.keys, ...(k.more ?? [])].map(key => [key.toUpperCase(), k.act])));

// The name of a key with what is held, as in KEYS. On most keyboards ? and + need Shift themselves.
function pressed(event) {
  const key = event.key === "Escape" ? "Esc" : event.key;
  const shift = event.shiftKey && (key.length > 1 || /[a-z]/i.test(key)) ? "⇧" : "";
  return ((event.ctrlKey || event.metaKey ? "Ctrl " : "") + shift + key).toUpperCase();
}

// `acts`: functions by the names above, and arrow(dx, dy, resize, fine), digit(n), zoom(way). An act may return false:
// the key is the browser's then, so that Tab leaves the picture behind the last box.
export function listen(acts, stage) {
  document.addEventListener("keydown", event => {
    const on = event.target;
    if (on.closest("dialog, input") || event.altKey || event.defaultPrevented) return;
    if (on.closest("button") && (event.key === "Enter" || event.key === " ")) return; // the button's own
    if (event.key === "Tab" && on !== stage) return;
    const arrow = ARROWS[event.key], control = event.ctrlKey || event.metaKey;
    let taken = true;
    if (arrow) taken = acts.arrow(...arrow, event.shiftKey, control);
    else if (!control && /^[1-9]$/.test(event.key)) taken = acts.digit(Number(event.key));
    else if (!control && ["+", "=", "-"].includes(event.key)) taken = acts.zoom(event.key === "-" ? -1 : 1);
    else {
      const act = BY_KEY.get(pressed(event));
      if (!act) return;
      taken = acts[act]();
    }
    if (taken !== false) event.preventDefault();
  });
}
