// Who came: a card for each visit with the insect cut out large, those that go on first.

import { $, address, button, element, get, hornetsFirst, isHornet, lasted, post, when } from "./talk.js";

const PAGE = 24;
let about = { kept: false, labels: [], video: "" };  // what is known of the hive
let label = null;         // whose visits are shown; "" is all, null is not chosen yet
let shown = new Map();    // a card for each visit, by its id
let oldest = "", paged = false;

const SAID = { right: "right", false: "no such insect", other: "another insect" };

function told(mark, name) {
  if (!mark) return "";
  return mark.verdict === "other" ? `It was: ${mark.meant}.` : mark.verdict === "false" ? `No ${name} there.` : "Right.";
}

function marking(v) {
  const line = element("div", "", "mark"), said = element("span", told(v.mark, v.label));
  const what = `${v.label}, ${when(new Date(v.start))}`;
  const send = async (verdict, meant) => {
    const controls = line.querySelectorAll("button, select");
    for (const control of controls) control.disabled = true;
    try {
      const answer = await post(`api/visits/${v.id}/mark`, { verdict, label: meant });
      line.replaceWith(marking({ ...v, mark: answer.mark }));
      shown.get(v.id).said = JSON.stringify(answer.mark);
    } catch (error) {
      said.textContent = `Not kept: ${error.message}`;
      for (const control of controls) control.disabled = false;
    }
  };
  if (v.mark) {
    line.append(said, button("undo", () => send(null), `take back: ${what}`));
    return line;
  }
  line.append(button("✓ right", () => send("right"), `${SAID.right}: ${what}`), button("✗ false", () => send("false"), `${SAID.false}: ${what}`));
  const others = about.labels.filter(name => name !== v.label);
  if (others.length) {
    const select = element("select");
    select.setAttribute("aria-label", `${SAID.other}: ${what}`);
    select.append(new Option("it is …", ""), ...others.map(name => new Option(name, name)));
    select.onchange = () => select.value && send("other", select.value);
    line.append(select);
  }
  line.append(said);
  return line;
}

// Puts the insect in the middle of a square: the picture is so large that the box and as much around it fill that.
function crop(img, box) {
  const wide = img.naturalWidth, high = img.naturalHeight;
  const side = Math.min(wide, high, Math.max((box[2] - box[0]) * wide, (box[3] - box[1]) * high, 24) * 1.7);
  const from = (middle, size) => Math.min(size - side, Math.max(0, middle * size - side / 2));
  img.style.objectFit = "fill";
  img.style.inset = "auto";
  img.style.width = `${100 * wide / side}%`;
  img.style.height = `${100 * high / side}%`;
  img.style.left = `${-100 * from((box[0] + box[2]) / 2, wide) / side}%`;
  img.style.top = `${-100 * from((box[1] + box[3]) / 2, high) / side}%`;
}

function large(...parts) {
  $("shown").replaceChildren(...parts);
  $("large").showModal();
}

function whole(v) {
  const img = element("img");
  img.alt = `${v.label}, ${when(new Date(v.start))}`;
  img.src = address(`visits/${v.id}.jpg`, { v: v.snapshot.sha256.slice(0, 8) });
  large(img);
}

function play(v) {
  const pictures = () => {
    const img = element("img");
    img.alt = `clip: ${v.label}`;
    img.src = address(`visits/${v.id}.mjpg`, { at: Date.now() });
    return img;
  };
  const file = element("a", "clip as a file");
  file.href = address(`visits/${v.id}.${about.video || "avi"}`);
  file.download = "";
  if (!about.video) return large(pictures(), file);
  const video = element("video");
  Object.assign(video, { controls: true, autoplay: true, muted: true, playsInline: true, src: file.href });
  video.onerror = () => video.replaceWith(pictures());
  large(video, file);
}

function card(v) {
  const li = element("li", "", v.type === "end" ? "" : "open"), said = element("div", "", "said"), from = new Date(v.start);
  li.dataset.visit = v.id;
  const best = v.plain && v.plain.objects.filter(o => o.label === v.label).sort((a, b) => b.score - a.score)[0];
  if (v.snapshot) {
    const look = button("", () => whole(v), `picture: ${v.label}, ${when(from)}`), img = element("img");
    look.className = "crop";
    img.loading = "lazy";
    img.alt = "";
    if (best) img.onload = () => crop(img, best.box);
    img.src = best ? address(`visits/${v.id}.plain.jpg`, { v: v.plain.sha256.slice(0, 8) })
      : address(`visits/${v.id}.jpg`, { v: v.snapshot.sha256.slice(0, 8) });
    look.append(img);
    li.append(look);
  }
  said.append(element("b", v.count_max > 1 ? `${v.count_max} × ${v.label}` : v.label));
  said.append(element("p", `${when(from)}, ${lasted((new Date(v.last_seen) - from) / 1000 || 1)}`));
  const notes = [`${Math.round(v.top_score * 100)} % sure`, ...v.zones];
  if (v.end_reason && v.end_reason !== "lost") notes.push(v.end_reason.replace("_", " "));
  said.append(element("p", notes.join(" · ")));
  if (about.kept) said.append(marking(v));
  if (v.clip && v.type === "end") said.append(button("▶ clip", () => play(v), `clip: ${v.label}, ${when(from)}`));
  li.append(said);
  return li;
}

function labels() {
  const names = hornetsFirst(about.labels), insects = names.filter(isHornet);
  if (label === null && names.length) label = insects.length === 1 ? insects[0] : "";
  const made = names.length < 2 ? [] : ["", ...names].map(name => {
    const choice = button(name || "All", () => { label = name; labels(); showVisits(); });
    choice.setAttribute("aria-pressed", name === label);
    return choice;
  });
  const key = made.map(choice => choice.outerHTML).join("");
  if ($("labels").dataset.key === key) return;
  $("labels").dataset.key = key;
  $("labels").replaceChildren(...made);
}

export function known(now) {
  about = now;
  if (!about.labels.includes(label) && label) label = null;
  labels();
}

export async function visits(older) {
  const asked = label ?? "";
  const rows = await get("api/visits", { limit: PAGE, label: asked, ...(older ? { before: oldest } : {}) });
  if (asked !== (label ?? "")) return;  // another label was chosen meanwhile
  for (const v of rows) {
    const said = JSON.stringify(v.mark), old = shown.get(v.id);
    if (old && old.seq === v.seq && old.clip === !!v.clip && old.said === said || old?.li.contains(document.activeElement)) continue;
    const li = card(v);
    old?.li.replaceWith(li);
    shown.set(v.id, { li, seq: v.seq, clip: !!v.clip, said, open: v.type !== "end" });
  }
  const order = [...shown].sort(([a, one], [b, other]) => other.open - one.open || (a < b ? 1 : -1)).map(([, { li }]) => li);
  if (order.some((li, i) => $("list").children[i] !== li)) $("list").replaceChildren(...order);
  if (rows.length && (older || !paged)) oldest = rows[rows.length - 1].id;
  if (older || !paged) $("more").hidden = rows.length < PAGE;
  paged ||= !!older;
  $("none").textContent = shown.size ? "" : about.kept ? `No visits${label ? ` of ${label}` : ""} yet.` : "Visits are not kept: give store.folder a name.";
}

// Another hive or label was chosen.
export function showVisits() {
  shown = new Map();
  paged = false;
  oldest = "";
  $("list").replaceChildren();
  return visits(false);
}

$("more").onclick = () => visits(true).catch(() => { $("none").textContent = "The box does not answer."; });
$("large").onclose = () => $("shown").replaceChildren();
$("large").onclick = event => { if (event.target === $("large")) $("large").close(); };
