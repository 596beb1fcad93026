// The picture with its boxes: what is drawn, looked at closer, moved and resized with mouse, pen and fingers.
"use strict";

const NS = "http://www.w3.org/2000/svg";
const COLOURS = ["#f5a700", "#56b4e9", "#2fc48d", "#f0e442", "#e0563b", "#d98bb9", "#7f8cff", "#b5e853", "#ff8f66", "#9be7e0"];
const CLICK = 4; // pixels of the screen: less is a click
const LEAST = 1; // pixels of the picture
const CORNERS = [["x1", "y1"], ["x2", "y1"], ["x2", "y2"], ["x1", "y2"]];

export const colour = label => COLOURS[label % COLOURS.length];
const node = (name, keys = {}) => { const e = document.createElementNS(NS, name); for (const k in keys) e.setAttribute(k, keys[k]); return e };
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const area = b => (b[2] - b[0]) * (b[3] - b[1]);

// Intersection over union.
export function overlap(a, b) {
  const w = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), h = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (w <= 0 || h <= 0) return 0;
  return w * h / (area(a) + area(b) - w * h);
}

export class Stage {
  // `on`: drawn(box), changed(index, box), selected(what or null), clicked(x, y), looked().
  // What is selected is { index } of a mark or { proposal }, an index too.
  constructor(svg, on) {
    this.svg = svg; this.on = on;
    this.width = this.height = 1; this.view = [0, 0, 1, 1];
    this.marks = []; this.proposals = []; this.names = []; this.selected = null; this.over = false;
    this.masks = new Map(); // of boxes, by their numbers: outlines
    this.image = node("image", { preserveAspectRatio: "none" }); this.layer = node("g"); this.draft = node("g");
    svg.append(this.image, this.layer, this.draft);
    this.pointers = new Map(); this.drag = null; this.pinch = null;
    svg.addEventListener("pointerdown", e => this.down(e));
    svg.addEventListener("pointermove", e => this.move(e));
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, e => this.up(e));
    svg.addEventListener("wheel", e => { e.preventDefault(); this.zoom(Math.exp(-e.deltaY / 400), this.at(e)) }, { passive: false });
    new ResizeObserver(() => this.look(this.whole ? null : this.view)).observe(svg);
  }

  open(width, height) {
    this.width = width; this.height = height; this.drag = null; this.draft.replaceChildren();
    this.image.removeAttribute("href");
    this.image.setAttribute("width", width); this.image.setAttribute("height", height);
    this.look(null);
  }

  show(image) { this.image.setAttribute("href", image.src) }

  // Pixels of the screen for one of the picture.
  get scale() { const r = this.svg.getBoundingClientRect(); return r.width / this.view[2] || 1 }

  // null: all of it. The view has the shape of the place that it is shown in.
  look(view) {
    const r = this.svg.getBoundingClientRect();
    if (!r.width || !r.height) return;
    this.whole = !view;
    const shape = r.width / r.height, whole = Math.max(this.width, this.height * shape);
    let [x, y, w] = view ?? [(this.width - whole) / 2, (this.height - whole / shape) / 2, whole];
    w = clamp(w, 16, whole); const h = w / shape;
    x = w >= this.width ? (this.width - w) / 2 : clamp(x, 0, this.width - w);
    y = h >= this.height ? (this.height - h) / 2 : clamp(y, 0, this.height - h);
    this.whole ||= w >= whole;
    this.view = [x, y, w, h];
    this.svg.setAttribute("viewBox", this.view.join(" "));
    this.render();
    this.on.looked();
  }

  zoom(factor, at = [this.view[0] + this.view[2] / 2, this.view[1] + this.view[3] / 2]) {
    const [x, y, w, h] = this.view, f = 1 / factor;
    this.look([at[0] - (at[0] - x) * f, at[1] - (at[1] - y) * f, w * f, h * f]);
  }

  at(event) {
    const r = this.svg.getBoundingClientRect(), [x, y, w, h] = this.view;
    return [x + (event.clientX - r.left) / r.width * w, y + (event.clientY - r.top) / r.height * h];
  }

  render() {
    const k = 1 / this.scale, layer = this.layer;
    layer.replaceChildren();
    const rect = (box, label, cls, name, at) => {
      const [x, y, x2, y2] = box, place = { x, y, width: x2 - x, height: y2 - y };
      layer.append(node("rect", { ...place, class: "edge" }));
      const e = node("rect", { ...place, class: `box ${cls}`, stroke: colour(label), color: colour(label) });
      Object.assign(e.dataset, at); layer.append(e);
      const text = node("text", { x: x + 2 * k, y: Math.max(y - 5 * k, this.view[1] + 14 * k), "font-size": 13 * k, fill: colour(label), "stroke-width": 3 * k });
      text.textContent = name; layer.append(text);
    };
    for (const { box, label } of this.marks) {
      const d = (this.masks.get(String(box)) ?? []).map(line => `M${line.join(" ")}Z`).join("");
      if (d) layer.append(node("path", { d, "fill-rule": "evenodd", class: "mask", stroke: colour(label), color: colour(label) }));
    }
    // small ones last, so that they lie on top
    this.proposals.map((p, i) => [p, i]).sort((a, b) => area(b[0].box) - area(a[0].box)).forEach(([p, i]) =>
      rect(p.box, p.label, "proposal" + (this.selected?.proposal === i ? " selected" : ""), `${this.names[p.label] ?? "?"} ${Math.round(p.score * 100)} %`, { proposal: i }));
    this.marks.map((m, i) => [m, i]).sort((a, b) => area(b[0].box) - area(a[0].box)).forEach(([m, i]) =>
      rect(m.box, m.label, this.selected?.index === i ? "selected" : "", this.names[m.label] ?? "?", { index: i }));
    const mark = this.marks[this.selected?.index];
    if (!mark) return;
    const size = (matchMedia("(pointer: coarse)").matches ? 18 : 10) * k, [x1, y1, x2, y2] = mark.box, places = { x1, y1, x2, y2 };
    CORNERS.forEach(([cx, cy], corner) => {
      const e = node("rect", { x: places[cx] - size / 2, y: places[cy] - size / 2, width: size, height: size, class: "handle" });
      e.style.cursor = corner % 2 ? "nesw-resize" : "nwse-resize"; e.dataset.corner = corner; layer.append(e);
    });
  }

  down(event) {
    if (event.button > 1) return;
    this.svg.focus({ preventScroll: true });
    this.svg.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) { this.cancel(); this.pinch = { was: [...this.pointers.values()], view: this.view }; return }
    if (this.pointers.size > 1) return;
    const from = this.at(event), found = event.target.dataset ?? {}, began = { from, x: event.clientX, y: event.clientY, moved: false };
    if (event.button === 1) this.drag = { ...began, kind: "pan", view: this.view };
    else if (found.corner !== undefined) this.drag = { ...began, kind: "corner", corner: Number(found.corner), box: this.marks[this.selected.index].box };
    else if (this.over || event.shiftKey || (found.index === undefined && found.proposal === undefined)) this.drag = { ...began, kind: "draw" };
    else if (found.proposal !== undefined) { this.select({ proposal: Number(found.proposal) }); this.drag = { ...began, kind: "draw", on: true } }
    else { this.select({ index: Number(found.index) }); this.drag = { ...began, kind: "move", box: this.marks[Number(found.index)].box } }
    event.preventDefault();
  }

  move(event) {
    if (!this.pointers.has(event.pointerId)) return;
    this.pointers.set(event.pointerId, event);
    if (this.pinch) { this.pinched(); return }
    const drag = this.drag;
    if (!drag) return;
    if (!drag.moved && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < CLICK) return;
    drag.moved = true;
    const to = this.at(event), dx = to[0] - drag.from[0], dy = to[1] - drag.from[1];
    if (drag.kind === "pan") {
      const k = 1 / this.scale;
      this.look([drag.view[0] - (event.clientX - drag.x) * k, drag.view[1] - (event.clientY - drag.y) * k, drag.view[2], drag.view[3]]);
    } else if (drag.kind === "draw") {
      drag.now = this.inside([drag.from[0], drag.from[1], to[0], to[1]]);
      const [x, y, x2, y2] = drag.now;
      this.draft.replaceChildren(node("rect", { x, y, width: x2 - x, height: y2 - y, class: "box selected", stroke: "#fff", color: "#fff" }));
    } else {
      drag.now = drag.kind === "move" ? this.shifted(drag.box, dx, dy) : this.cornered(drag.box, drag.corner, to);
      this.marks[this.selected.index] = { ...this.marks[this.selected.index], box: drag.now };
      this.render();
    }
  }

  up(event) {
    const there = this.pointers.delete(event.pointerId), drag = this.drag;
    if (this.pinch) { if (!this.pointers.size) this.pinch = null; return }
    this.drag = null; this.draft.replaceChildren();
    if (!there || !drag || event.type === "pointercancel") { if (drag?.box && this.selected) this.restore(drag); return }
    if (drag.kind === "draw" && !drag.moved && !drag.on) { this.select(null); this.on.clicked(...drag.from) }
    if (!drag.now) return;
    const [x, y, x2, y2] = drag.now;
    if (drag.kind !== "draw") this.on.changed(this.selected.index, drag.now);
    else if (x2 - x >= LEAST && y2 - y >= LEAST) this.on.drawn(drag.now);
  }

  cancel() { if (this.drag?.box) this.restore(this.drag); this.drag = null; this.draft.replaceChildren() }

  restore(drag) { const i = this.selected.index; this.marks[i] = { ...this.marks[i], box: drag.box }; this.render() }

  pinched() {
    const [a, b] = this.pinch.was, now = [...this.pointers.values()];
    if (now.length < 2) return;
    const apart = (p, q) => Math.hypot(p.clientX - q.clientX, p.clientY - q.clientY) || 1;
    const r = this.svg.getBoundingClientRect(), [x, y, w, h] = this.pinch.view;
    const part = (p, q) => [((p.clientX + q.clientX) / 2 - r.left) / r.width, ((p.clientY + q.clientY) / 2 - r.top) / r.height];
    const f = apart(a, b) / apart(now[0], now[1]), [u, v] = part(a, b), [u2, v2] = part(now[0], now[1]);
    this.look([x + u * w - u2 * w * f, y + v * h - v2 * h * f, w * f, h * f]);
  }

  select(what) {
    this.selected = what;
    this.render();
    this.on.selected(what);
  }

  inside([x, y, x2, y2]) {
    const [a, b, c, d] = [clamp(x, 0, this.width), clamp(y, 0, this.height), clamp(x2, 0, this.width), clamp(y2, 0, this.height)];
    return [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)];
  }

  shifted([x, y, x2, y2], dx, dy) {
    dx = clamp(dx, -x, this.width - x2); dy = clamp(dy, -y, this.height - y2);
    return [x + dx, y + dy, x2 + dx, y2 + dy];
  }

  cornered([x, y, x2, y2], corner, [tx, ty]) {
    const left = corner === 0 || corner === 3, top = corner < 2;
    tx = clamp(tx, 0, this.width); ty = clamp(ty, 0, this.height);
    return [left ? Math.min(tx, x2 - LEAST) : x, top ? Math.min(ty, y2 - LEAST) : y, left ? x2 : Math.max(tx, x + LEAST), top ? y2 : Math.max(ty, y + LEAST)];
  }
}
