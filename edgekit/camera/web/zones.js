// Zones drawn on the live picture: tap its corners, say what the zone is for, save.

import { $, button, draw, element, get, post } from "./talk.js";

const USES = { watch: "look only here", ignore: "do not look here", mark: "tell me when here" };
const MOST = 20, NEAR = 22;  // zones; pixels of the screen that a finger is off
let zones = null;  // while they are drawn
let active = -1, dragged = null, size = [0, 0];

const current = () => zones[active];
const inside = v => Math.min(1, Math.max(0, v));

function place(event) {
  const box = $("drawing").getBoundingClientRect();
  return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
}

function near(event) {
  const box = $("drawing").getBoundingClientRect();
  return current()?.points.findIndex(([x, y]) =>
    Math.hypot(box.left + x * box.width - event.clientX, box.top + y * box.height - event.clientY) < NEAR) ?? -1;
}

function picture() {
  const svg = $("drawing"), [wide, high] = size, box = svg.getBoundingClientRect();
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  svg.setAttribute("preserveAspectRatio", "none");
  zones.forEach((zone, i) => {
    const points = zone.points.map(([x, y]) => `${x * wide},${y * high}`).join(" ");
    draw(svg, zone.points.length > 2 ? "polygon" : "polyline", { points, class: zone.use });
    if (i !== active) return;
    for (const [x, y] of zone.points) draw(svg, "circle", { cx: x * wide, cy: y * high, r: 8 * wide / (box.width || wide) });
  });
}

function rows() {
  $("drawn").replaceChildren(...zones.map((zone, i) => {
    const li = element("li", "", `${zone.use}${i === active ? " active" : ""}`), name = element("input"), use = element("select");
    name.value = zone.name;
    name.maxLength = 64;
    name.setAttribute("aria-label", "name of the zone");
    name.oninput = () => { zone.name = name.value; };
    name.onfocus = () => { if (active !== i) choose(i, true); };
    use.setAttribute("aria-label", "what the zone is for");
    use.append(...Object.entries(USES).map(([key, text]) => new Option(text, key)));
    use.value = zone.use;
    use.onchange = () => { zone.use = use.value; active = i; show(); };
    li.append(name, use, button("✕", () => { zones.splice(i, 1); choose(-1); }, `remove ${zone.name}`));
    if (i === active && zone.points.length < 3) li.append(element("span", `${zone.points.length} of at least 3 corners`));
    return li;
  }));
}

function show() {
  rows();
  picture();
  $("how").textContent = active < 0 ? zones.length ? "Choose a zone to change it, or make a new one." : "No zones: all of the picture is looked at."
    : "Tap the corners of the zone on the picture; a corner can be dragged.";
  $("back").disabled = active < 0 || !current().points.length;
  $("another").disabled = zones.length >= MOST;
}

function choose(i, typing) {
  active = i;
  show();
  if (typing) $("drawn").querySelectorAll("input")[i].focus();
}

function another() {
  zones.push({ name: `zone ${zones.length + 1}`, use: "watch", points: [] });
  choose(zones.length - 1);
}

function open(yes) {
  $("zones").hidden = !yes;
  $("drawing").toggleAttribute("hidden", !yes);  // SVG has the attribute alone
  $("draw").hidden = yes;
}

async function begin() {
  $("told").textContent = "";
  try {
    const told = await get("api/zones");
    zones = told.zones;
    $("undrawn").hidden = !told.drawn;
  } catch (error) {
    $("told").textContent = "The box does not answer.";
    zones = null;
    return;
  }
  open(true);
  choose(-1);
}

function leave() {
  zones = null;
  open(false);
}

function wrong() {
  const bad = zones.findIndex(zone => zone.points.length < 3 || !zone.name.trim());
  if (bad < 0) return "";
  choose(bad);
  return zones[bad].name.trim() ? `“${zones[bad].name}” needs at least 3 corners.` : "A zone needs a name.";
}

async function keep() {
  const problem = wrong();
  $("told").textContent = problem;
  if (!problem) await send(zones.map(({ name, use, points }) => ({ name: name.trim(), use, points })), "Zones saved");
}

// What was drawn is forgotten where `drawn` is null.
async function send(drawn, done) {
  $("keep").disabled = $("undrawn").disabled = true;
  try {
    const told = await post("api/zones", { zones: drawn });
    leave();
    $("age").textContent = told.taken ? `${done}.` : `${done}; the camera takes them with its next picture.`;
  } catch (error) {
    $("told").textContent = `Not saved: ${error.message}`;
  }
  $("keep").disabled = $("undrawn").disabled = false;
}

function pressed(event) {
  if (active < 0) {
    if (zones.length) return;
    another();
  }
  const corner = near(event);
  dragged = corner < 0 ? current().points.push(place(event)) - 1 : corner;
  $("drawing").setPointerCapture(event.pointerId);
  show();
}

function moved(event) {
  if (dragged === null || active < 0) return;
  current().points[dragged] = place(event);
  picture();
}

export function zonesKnown(s, kept) {
  size = [s.source.width || 16, s.source.height || 9];
  $("draw").hidden = !kept || !s.source.width || zones !== null;
}

export function startZones() {
  const svg = $("drawing");
  svg.onpointerdown = pressed;
  svg.onpointermove = moved;
  svg.onpointerup = svg.onpointercancel = () => { dragged = null; };
  $("draw").onclick = begin;
  $("another").onclick = another;
  $("back").onclick = () => { current().points.pop(); show(); };
  $("keep").onclick = keep;
  $("leave").onclick = leave;
  $("undrawn").onclick = () => send(null, "The configuration's zones count again");
}
