// What the page says to the server: one change after the other, each tried until it is stored or refused.
"use strict";

const AGAIN = 1000; // milliseconds
const sleep = ms => new Promise(done => setTimeout(done, ms));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

export async function get(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw Error(await answer.text());
  return answer.json();
}

export async function send(path, what, method = "POST") {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(path, { method, headers, body: JSON.stringify(what) });
  if (answer.status === 401) location.reload();
  if (answer.status === 409) throw Object.assign(Error("stale"), { now: await answer.json() });
  if (!answer.ok) throw Object.assign(Error(await answer.text()), { refused: true });
  return answer.json();
}

// The changes of one picture, in their order. `told(state, why)`: "saved", "busy" or "bad".
export class Changes {
  constructor(picture, told) {
    this.picture = picture; // as the server has it; its revision moves with each answer
    this.told = told;
    this.waiting = [];
    this.running = null;
    this.closed = false;
  }

  get pending() { return this.waiting.length > 0 || this.running !== null }

  // Resolves to the picture as stored. A nudge takes the place of one that still waits.
  put(labels, nudge = false) {
    const last = this.waiting.at(-1);
    if (nudge && last?.nudge) { last.labels = labels; return last.promise }
    return this.enter({ labels, nudge });
  }

  step(way) { return this.enter({ way }) }

  enter(change) {
    change.promise = new Promise((resolve, reject) => Object.assign(change, { resolve, reject }));
    this.waiting.push(change);
    this.running ??= this.run();
    return change.promise;
  }

  // Until nothing waits any more.
  async settled() { while (this.running) await this.running.catch(() => {}) }

  async run() {
    await null;
    while (this.waiting.length) {
      const change = this.waiting.shift();
      this.told("busy", "saving…");
      try {
        this.picture = await this.tried(change);
        change.resolve(this.picture);
      } catch (error) {
        for (const other of this.waiting.splice(0)) other.reject(error);
        change.reject(error);
      }
    }
    this.running = null;
    this.told(this.picture.behind ? "bad" : "saved", this.picture.behind || "saved");
  }

  async tried(change) {
    const path = `/api/pictures/${this.picture.id}`;
    for (let wait = 0; ; wait++) {
      const { labels, way } = change, revision = this.picture.revision;
      try {
        return await (way ? send(`${path}/${way}`, { revision }) : send(path, { revision, labels }, "PUT"));
      } catch (error) {
        // stored, and the answer was lost on its way
        if (error.now && wait && error.now.revision === revision + 1 && (way || same(error.now.labels, labels))) return error.now;
        if (error.now || error.refused) throw error;
        this.told("bad", "The server does not answer: not saved yet.");
        await sleep(AGAIN);
      }
    }
  }
}

// Pictures as they are shown, fetched and decoded, the last few kept: an image element each.
const kept = new Map();
export function picture(id, size = 1600) {
  const key = `${id}/${size}`;
  if (!kept.has(key)) {
    const loading = fetch(`/pictures/${key}.jpg`).then(async answer => {
      if (!answer.ok) throw Error(await answer.text());
      const image = new Image();
      image.src = URL.createObjectURL(await answer.blob());
      await image.decode();
      return image;
    });
    kept.set(key, loading);
    loading.catch(() => kept.delete(key));
    if (kept.size > 8) {
      const [oldest, image] = kept.entries().next().value;
      kept.delete(oldest);
      image.then(({ src }) => URL.revokeObjectURL(src), () => {});
    }
  }
  return kept.get(key);
}
