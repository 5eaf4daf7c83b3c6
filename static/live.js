// The one socket that brings figures: each second what changed of the screen that is shown.

import { useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { get, socketUrl, whoami } from "./api.js";
import { heardTime } from "./format.js";
import { session, store } from "./state.js";

/** First and longest wait before a lost connection is tried again. */
const AGAIN_MIN_MS = 500;
const AGAIN_MAX_MS = 10_000;
/** The broker ticks each second: silence means that the connection is dead. */
const SILENCE_MS = 6000;

/** {state: "connecting" | "open" | "waiting" | "paused" | "refused", againAt?, since?, why?} */
export const connection = store({ state: "connecting" });
/** Held by the user. */
export const held = store(false);
/** Counts connections that opened: what was cached is old then. */
export const opened = store(0);

/** RFC 7396. Gives a new value; what did not change is the same object. */
export function mergePatch(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  // No prototype: a topic may be named `__proto__`.
  const merged = Object.assign(Object.create(null), target !== null && typeof target === "object" && !Array.isArray(target) ? target : undefined);
  for (const key of Object.keys(patch)) {
    if (patch[key] === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], patch[key]);
  }
  return merged;
}

let socket = null;
let wanted = null;
let onTick = null;
let onRefusal = null;
let data = null;
let waits = 0;
let timer = 0;
let watchdog = 0;

const asleep = () => document.hidden || held.get();

function say(what) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
}

function watch() {
  data = null;
  if (!wanted || asleep()) return;
  say({ op: "resume" });
  say({ op: "watch", ...wanted });
}

function heard() {
  clearTimeout(watchdog);
  if (wanted && !asleep()) watchdog = setTimeout(() => socket?.close(), SILENCE_MS);
}

function connect() {
  clearTimeout(timer);
  if (socket || session.get() === null) return;
  if (!["waiting", "refused"].includes(connection.get().state)) connection.set({ state: "connecting" });
  const mine = new WebSocket(socketUrl("/watch"));
  let isOpen = false;
  socket = mine;
  mine.onopen = () => {
    isOpen = true;
    waits = 0;
    connection.set({ state: asleep() ? "paused" : "open" });
    opened.set(opened.get() + 1);
    heard();
    watch();
  };
  mine.onmessage = event => {
    const frame = JSON.parse(event.data);
    heard();
    if (frame.type === "error") return onRefusal?.(frame);
    // A late tick of the screen before.
    if (frame.type !== "tick" || frame.screen !== wanted?.screen) return;
    if (!frame.full && data === null) return;
    heardTime(frame.at_ms);
    data = frame.full ? frame.data : mergePatch(data, frame.data);
    onTick?.(data, frame.at_ms);
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    socket = null;
    clearTimeout(watchdog);
    again(isOpen);
  };
}

/** Why a socket did not open, if the broker says so: sockets themselves are told nothing. */
async function refusal() {
  try {
    await get("/watch");
  } catch (error) {
    if (error.status === 403 || error.status === 429) return error.message;
  }
  return undefined;
}

async function again(wasOpen) {
  const since = connection.get().since ?? Date.now();
  const wait = Math.min(AGAIN_MAX_MS, AGAIN_MIN_MS * 2 ** waits) * (0.75 + Math.random() / 2);
  waits += 1;
  connection.set({ state: "waiting", againAt: Date.now() + wait, since });
  const why = wasOpen ? undefined : await refusal();
  if (socket) return;
  if (why) connection.set({ state: "refused", againAt: Date.now() + wait, since, why });
  clearTimeout(timer);
  timer = setTimeout(async () => {
    try {
      // A socket does not say why it was refused; this does.
      await whoami();
    } catch {
      return again(true);
    }
    return connect();
  }, wait);
}

/** Tries at once. */
export function reconnect() {
  waits = 0;
  clearTimeout(timer);
  connect();
}

/** Ends the connection: nobody is logged in. */
export function disconnect() {
  clearTimeout(timer);
  const mine = socket;
  socket = null;
  mine?.close();
}

let known = false;
session.listen(who => {
  if (!who) disconnect();
  else if (!known) reconnect();
  known = Boolean(who);
});

function asleepChanged() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  if (asleep()) {
    say({ op: "pause" });
    clearTimeout(watchdog);
    connection.set({ state: "paused" });
  } else {
    connection.set({ state: "open" });
    opened.set(opened.get() + 1);
    heard();
    watch();
  }
}
document.addEventListener("visibilitychange", asleepChanged);
held.listen(asleepChanged);

/**
 * What the broker tells of a screen: `{screen: "overview"}` and so on. Gives `{data, at, error}`;
 * `data` is null until the first tick. While the same screen is asked for with other words (another
 * order, another page), what is known stays until the answer comes. `tick(data, at, spec)` is called for
 * each tick with what was asked for.
 */
export function useWatch(spec, tick) {
  const [seen, show] = useState({ data: null, at: 0, error: null });
  const told = useRef(tick);
  told.current = tick;
  const words = JSON.stringify(spec);
  const screen = `${spec.screen} ${spec.topic ?? ""}`;
  useEffect(() => () => show({ data: null, at: 0, error: null }), [screen]);
  useEffect(() => {
    wanted = JSON.parse(words);
    const asked = wanted;
    onTick = (next, at) => {
      told.current?.(next, at, asked);
      show({ data: next, at, error: null });
    };
    onRefusal = error => show(before => ({ ...before, error }));
    const mine = onTick;
    watch();
    return () => {
      if (onTick !== mine) return;
      wanted = onTick = onRefusal = null;
      clearTimeout(watchdog);
      // The next screen may need nothing of it.
      queueMicrotask(() => wanted ?? say({ op: "pause" }));
    };
  }, [words]);
  return seen;
}
