// What all screens share: small observable values, the address behind #, and settings that are kept.

import { useEffect, useState } from "./vendor/htm-preact.js";

/** A value that tells when it changes. */
export function store(value) {
  const heard = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const tell of [...heard]) tell(value);
    },
    listen(tell) {
      heard.add(tell);
      return () => heard.delete(tell);
    },
  };
}

/** The value now; the component is drawn again when it changes. */
export function useStore(of) {
  const [, draw] = useState(0);
  const shown = of.get();
  useEffect(() => {
    const again = () => draw(count => count + 1);
    // It may have changed between the drawing and now.
    if (!Object.is(of.get(), shown)) again();
    return of.listen(again);
  }, [of]);
  return shown;
}

/** A store whose value is kept in this browser. */
export function kept(name, initial) {
  const key = `octoq.${name}`;
  let value = initial;
  try {
    value = JSON.parse(localStorage.getItem(key)) ?? initial;
  } catch {
    // What another version left, or no storage.
  }
  const made = store(value);
  made.listen(next => {
    try {
      localStorage.setItem(key, JSON.stringify(next));
    } catch {
      // It is not kept, then.
    }
  });
  return made;
}

// ---- the address: #/screen/part/part?key=value

/** Parts that are no percent-encoding stay as they are. */
const decode = text => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

export function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const parts = path.split("/").filter(Boolean).map(decode);
  return { screen: parts[0] ?? "overview", parts: parts.slice(1), query: new URLSearchParams(query) };
}

/** An address: `href(["topic", name], {queue})`; empty values are left out. */
export function href(parts, query = {}) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "" && value !== false) params.set(key, value === true ? "1" : String(value));
  }
  const text = params.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const route = store(parseRoute(location.hash));
addEventListener("hashchange", () => route.set(parseRoute(location.hash)));

export function go(parts, query) {
  location.hash = href(parts, query);
}

/** Changes some values of the address's query; the back button does not stop at each letter typed. */
export function changeQuery(changes) {
  const now = route.get();
  const query = Object.fromEntries(now.query);
  const next = href([now.screen, ...now.parts], { ...query, ...changes });
  if (next === location.hash) return;
  history.replaceState(null, "", next);
  route.set(parseRoute(next));
}

// ---- who is here, and how the page is used

/** What GET /v1/session said; null: a login is needed; undefined: not asked yet. */
export const session = store(undefined);
/** Times as they are, not as distances from now. */
export const absolute = kept("absolute", false);
/** "system", "light" or "dark". */
export const theme = store(document.documentElement.dataset.theme ?? "system");
theme.listen(value => {
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  try {
    if (value === "system") localStorage.removeItem("octoq.theme");
    else localStorage.setItem("octoq.theme", value);
  } catch {
    // It is not kept, then.
  }
});

/** May this caller change something? The broker decides; here it is only what is shown. */
export const mayOperate = () => {
  const who = session.get();
  return Boolean(who && !who.read_only && (who.may?.operate || who.role === "user"));
};
export const mayAdminister = () => Boolean(session.get()?.may?.administer && !session.get().read_only);
