// The page: asks the box again and again, and hands what it says to those who show it.

import { chart, showChart } from "./chart.js";
import { askToday, labelsOf, noAnswer, technical, tell, worst } from "./now.js";
import { $, address, ago, hive } from "./talk.js";
import { known, showVisits, visits } from "./visits.js";
import { startZones, zonesKnown } from "./zones.js";

let status = null;   // of the chosen hive
let source = "";     // of the live picture: "live", "still" or nothing
let stillUntil = 0;  // no place for a viewer: pictures one at a time until then

function wanted() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch (error) { return ""; }
}

async function ask() {
  try {
    const answer = await fetch("api/status", { cache: "no-store", signal: AbortSignal.timeout(8000) });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw Error(`${answer.status}`);
    const all = await answer.json();
    const s = all.cameras.find(one => one.camera === wanted()) ?? worst(all.cameras);
    const other = hive.name !== s.camera;
    hive.name = s.camera;
    hive.several = all.cameras.length > 1;
    status = { ...s, store: all.store };
    tell(status, all, choose);
    technical(s, all);
    known({ kept: all.store.kept, labels: labelsOf(s), video: all.video ?? "" });
    zonesKnown(s, all.store.kept);
    picture(s);
    if (other) await Promise.allSettled([askToday(status), showVisits(), showChart()]);
  } catch (error) {
    status = null;
    noAnswer();
    dark();
  }
}

function choose(name) {
  location.hash = encodeURIComponent(name);
  dark();
  ask();
}

function dark() {
  $("picture").removeAttribute("src");
  source = "";
}

function picture(s) {
  const old = s.frame_age === null ? Infinity : s.frame_age;
  $("old").hidden = old < 10;
  $("old").textContent = s.frame_age === null ? "No picture yet." : `This picture is ${ago(Date.now() - 1000 * old)} old.`;
  $("age").textContent = old < 10 ? source === "still" ? "A picture every two seconds" : "Live" : "";
  if (s.frame_age === null || document.hidden) return;
  if (old >= 10) {
    if (source !== "old") $("picture").src = address("snapshot.jpg", { old: "yes", at: Date.now() });
    source = "old";
  } else if (Date.now() < stillUntil) {
    source = "still";
    $("picture").src = address("snapshot.jpg", { at: Date.now() });
  } else if (source !== "live") {
    source = "live";
    $("picture").src = address("live.mjpg", { at: Date.now() });
  }
}

function again(what, ms) {
  const go = async () => {
    try { if (!document.hidden) await what(); } catch (error) { /* what is told of the box says it */ }
    setTimeout(go, ms);
  };
  go();
}

$("picture").onerror = () => {
  if (source === "live") stillUntil = Date.now() + 30000;
  source = "";
};
document.onvisibilitychange = () => {
  if (document.hidden) dark(); else ask();
};
onhashchange = () => ask();

startZones();
again(ask, 2000);
again(() => status && askToday(status), 15000);
again(() => status && chart(), 15000);
again(() => status && visits(), 3000);
