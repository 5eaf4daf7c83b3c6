// What is published, as it comes. A pubsub topic pushes it; of a queue the end is looked at. Nothing is
// taken.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { get, queuePath, socketUrl, topicPath } from "../api.js";
import { count, time } from "../format.js";
import { BodyView, preview } from "../message.js";
import { Empty, Icon, Select } from "../parts.js";
import { changeQuery } from "../state.js";

/** Rows kept; the oldest go first. */
const KEPT = 500;
/** How often the end of a queue is looked at. */
const LOOK_MS = 1000;

/** Lets at most so many pass in each second; the others are counted. */
class Cap {
  constructor() {
    this.second = 0;
    this.passed = 0;
  }
  take(limit) {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.second) {
      this.second = second;
      this.passed = 0;
    }
    this.passed += 1;
    return this.passed <= limit;
  }
}

/** Pushes of a pubsub topic, from now on. The position is named: what nobody has claimed yet stays so. */
function followPubsub(name, take, say, leave) {
  let socket;
  let timer = 0;
  let position = null;
  const connect = async () => {
    try {
      if (!position) {
        const topic = await get(topicPath(name), { signal: leave });
        position = { epoch: topic.epoch, seq: topic.last_seq };
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status && error.status !== 401) return say(error.message);
      timer = setTimeout(connect, 1000);
      return;
    }
    socket = new WebSocket(socketUrl("/ws"));
    socket.onopen = () => socket.send(JSON.stringify({ op: "subscribe", topic: name, sub: "tail", req: 1, ...position }));
    socket.onmessage = event => {
      const frame = JSON.parse(event.data);
      if (frame.type === "ok") {
        say("");
        position = { epoch: frame.epoch, seq: frame.seq };
      } else if (frame.type === "message") {
        position = { epoch: frame.epoch ?? position.epoch, seq: frame.seq };
        take(frame);
      } else if (frame.type === "gap") take({ gap: true, anew: frame.reason === "epoch", seq: `${frame.from}–${frame.through}`, count: frame.through - frame.from + 1 });
      else if (frame.type === "error" || frame.type === "ended") say(frame.detail);
    };
    socket.onclose = () => {
      if (leave.aborted) return;
      say("the connection was lost; trying again");
      timer = setTimeout(connect, 1000);
    };
  };
  leave.addEventListener("abort", () => {
    clearTimeout(timer);
    socket?.close();
  });
  connect();
}

/** The end of a queue, looked at each second: what was not there before is new. */
function followQueue(name, queue, take, say, leave) {
  let newest = -1;
  const look = async () => {
    if (!document.hidden) {
      try {
        const { messages } = await get(`${queuePath(name, queue)}/peek?end=back&max=100`, { signal: leave });
        say("");
        const fresh = messages.filter(message => message.seq > newest).sort((a, b) => a.seq - b.seq);
        // What was there before anybody looked is not new, but the last few show what it is like.
        const shown = newest < 0 ? fresh.slice(-5) : fresh;
        if (newest >= 0 && fresh.length >= 100) take({ gap: true, seq: "", count: 0 });
        shown.forEach(take);
        newest = Math.max(newest, ...messages.map(message => message.seq), 0);
      } catch (error) {
        if (error.name === "AbortError") return;
        say(error.message);
      }
    }
    if (!leave.aborted) setTimeout(look, LOOK_MS);
  };
  look();
}

function Row({ entry, open, onOpen }) {
  if (entry.gap) return html`<div class="stream-row gap"><span>${time(entry.at)}</span><span></span><span>${entry.anew ? "the topic has begun a new epoch: what was missed cannot be told" : entry.count ? `${count(entry.count)} messages were missed (no. ${entry.seq})` : "some messages were missed: more came than is looked at"}</span></div>`;
  return html`<div class="stream-row"><span class="dim num">${time(entry.published_at_ms ?? entry.at)}</span><button class="small quiet num" aria-expanded=${open} onClick=${onOpen}>${entry.seq}</button>${open ? html`<${BodyView} message=${entry} name=${entry.id} />` : html`<pre>${preview(entry)}</pre>`}</div>`;
}

export function Tail({ name, data, route }) {
  const pubsub = data.kind === "pubsub";
  const queues = Object.keys(data.queues);
  const queue = route.query.get("queue") ?? (queues.includes("default") || queues.length === 0 ? "default" : queues[0]);
  const limit = Number(route.query.get("cap") ?? 20);
  const [entries, setEntries] = useState([]);
  const [left, setLeft] = useState(0);
  const [paused, setPaused] = useState(false);
  const [said, say] = useState(null);
  const [open, setOpen] = useState(null);
  const here = useRef({});
  const box = useRef(null);
  const down = useRef(true);
  here.current = { paused, limit };
  const source = JSON.stringify([name, pubsub ? "" : queue]);
  useEffect(() => {
    const leave = new AbortController();
    const cap = new Cap();
    let waiting = [];
    let dropped = 0;
    setEntries([]);
    setLeft(0);
    say(null);
    const take = entry => {
      if (!entry.gap && (here.current.paused || !cap.take(here.current.limit))) {
        dropped += 1;
        return;
      }
      waiting.push({ ...entry, at: Date.now(), key: Math.random() });
      if (waiting.length > KEPT) waiting.shift();
    };
    // Ten times a second is often enough to draw.
    const timer = setInterval(() => {
      if (waiting.length) {
        const fresh = waiting;
        waiting = [];
        setEntries(before => [...before, ...fresh].slice(-KEPT));
      }
      if (dropped) {
        const more = dropped;
        dropped = 0;
        setLeft(before => before + more);
      }
    }, 100);
    if (pubsub) followPubsub(name, take, say, leave.signal);
    else followQueue(name, queue, take, say, leave.signal);
    return () => {
      leave.abort();
      clearInterval(timer);
    };
  }, [source, pubsub]);
  useLayoutEffect(() => {
    if (down.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [entries]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    down.current = scrollHeight - scrollTop - clientHeight < 30;
  };
  return html`
    <div class="toolbar">
      ${!pubsub && queues.length > 1 && html`<${Select} bare label="Queue" value=${queue} options=${queues} onChange=${to => changeQuery({ queue: to })} />`}
      <button aria-pressed=${paused} onClick=${() => setPaused(!paused)}><${Icon} of=${paused ? "play" : "pause"} />${paused ? "Go on" : "Pause the tail"}</button>
      <${Select} bare label="Most per second" value=${limit} options=${[[5, "5 per second"], [20, "20 per second"], [100, "100 per second"], [1000, "1,000 per second"]]} onChange=${cap => changeQuery({ cap: cap === "20" ? "" : cap })} />
      <button onClick=${() => {
        setEntries([]);
        setLeft(0);
      }}>Clear</button>
      <span class="dim tail-said" role="status" data-following=${said === "" ? "yes" : "no"}>${said || `${count(entries.length)} shown${left ? `, ${count(left)} left out by pause or rate` : ""}`}</span>
    </div>
    <div class="stream" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-live="off" aria-label=${`What is published to ${name}`}>
      ${entries.length === 0 ? html`<${Empty} title="Nothing yet">${pubsub ? "What is published from now on is shown here." : "The end of the queue is looked at once a second; what is consumed faster is not seen. Nothing is taken."}<//>` : entries.map(entry => html`<${Row} key=${entry.key} entry=${entry} open=${open === entry.key} onOpen=${() => setOpen(open === entry.key ? null : entry.key)} />`)}
    </div>`;
}
