// Talking to the box, and small helpers for words and elements.

export const $ = id => document.getElementById(id);
export const hive = { name: "", several: false };  // whose answers are asked for

// An address below this page, wherever a proxy shows it, for the chosen hive.
export function address(path, keys = {}) {
  const asked = new URLSearchParams(keys);
  if (hive.several) asked.set("camera", hive.name);
  const query = asked.toString();
  return query ? `${path}?${query}` : path;
}

export async function get(path, keys = {}) {
  const answer = await fetch(address(path, keys), { cache: "no-store", signal: AbortSignal.timeout(15000) });
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw Error(`${answer.status}`);
  return answer.json();
}

export async function post(path, what) {
  const answer = await fetch(address(path), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what),
    signal: AbortSignal.timeout(30000),
  });
  const told = await answer.json();
  if (!answer.ok) throw Error(told.error);
  return told;
}

export function element(name, text, cls) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (cls) made.className = cls;
  return made;
}

export function draw(parent, name, keys, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in keys) made.setAttribute(key, keys[key]);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

export function button(text, act, label) {
  const made = element("button", text);
  if (label) made.setAttribute("aria-label", label);
  made.onclick = act;
  return made;
}

const HORNET = /hornet|vespa|velutina|crabro|frelon|hornisse|avisp|calabron/i;  // as camera/events/levels.py
export const isHornet = label => HORNET.test(label);
export const LIMITS = [[5, "risk"], [10, "high"], [12.6, "paralysis"]];
export const level = (most, label) => {
  if (!isHornet(label) || most < 5) return most >= 1 ? "present" : "none";
  return LIMITS.filter(([least]) => most >= least).pop()[1];
};
export const hornetsFirst = names => [...names].sort((a, b) => isHornet(b) - isHornet(a) || a.localeCompare(b));

const clock = { hour: "2-digit", minute: "2-digit" };
export const isToday = moment => moment.toDateString() === new Date().toDateString();
export const dayAndTime = moment => moment.toLocaleString(undefined, { day: "numeric", month: "short", ...clock });
// "14:05", and of another day "3 Sep, 14:05"
export const when = moment => isToday(moment) ? moment.toLocaleTimeString(undefined, clock) : dayAndTime(moment);

export function lasted(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s}\u00a0s`;
  if (s < 5400) return `${Math.round(s / 60)}\u00a0min`;
  return s < 172800 ? `${Math.round(s / 3600)}\u00a0h` : `${Math.round(s / 86400)}\u00a0days`;
}
export const ago = moment => lasted((Date.now() - moment) / 1000);
export const count = (n, label) => `${n} ${label}${n === 1 || /s$/i.test(label) ? "" : "s"}`;
