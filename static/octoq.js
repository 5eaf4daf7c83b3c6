// octoq in a web page: publish, subscribe, consume, ask and reply over one WebSocket.
//
//   import { Octoq } from "http://127.0.0.1:6790/ui/octoq.js";
//   const octoq = new Octoq();
//   octoq.subscribe("news", message => console.log(message.seq, message.body));
//   await octoq.publish("news", "hello");
//
// It connects by itself, and again when the connection is lost: after a wait with jitter, with each
// subscription where it was. What was missed meanwhile comes then, or a gap is told. No build, no
// dependencies; the types are in the comments.

/**
 * Where a subscriber of a pubsub topic is: the last message it saw.
 * @typedef {{epoch: number, seq: number}} Position
 */

/**
 * A message to publish: text, bytes, or an object with exactly one of `body` (text or bytes),
 * `json` and `base64`.
 * @typedef {string | Uint8Array | ArrayBuffer | {
 *   body?: string | Uint8Array | ArrayBuffer,
 *   json?: unknown,
 *   base64?: string,
 *   attributes?: Record<string, unknown>,
 *   id?: string,
 *   delay_ms?: number,
 *   deliver_at_ms?: number,
 *   ttl_ms?: number,
 *   dedup_key?: string,
 *   priority?: number,
 *   front?: boolean,
 *   ordering_key?: string,
 * }} Publishable
 */

/**
 * What became of a published message.
 * @typedef {{id: string, seq: number, duplicate: boolean, durability: "memory"|"async"|"sync"}} Placed
 */

/**
 * What a subscriber missed and cannot get. With the reason `epoch` the topic's numbers began anew (its store
 * was restored, or its memory lost): what is there, from `kept_from` on, it may have seen or not.
 * @typedef {{topic: string, epoch: number, from: number, through: number, reason?: "epoch", kept_from?: number}} Gap
 */

/**
 * How a subscription is made.
 * @typedef {{
 *   position?: Position,
 *   slow?: "drop" | "close",
 *   onGap?: (gap: Gap) => void,
 *   onEnd?: (error: OctoqError) => void,
 * }} SubscribeOptions
 */

/**
 * How a queue is consumed. With `manual` the handler acks; else a delivery is acked when the handler
 * has returned (and what it returned has resolved), and given back when it throws.
 * @typedef {{
 *   queue?: string,
 *   prefetch?: number,
 *   ackDeadlineMs?: number,
 *   manual?: boolean,
 *   onEnd?: (error: OctoqError) => void,
 * }} ConsumeOptions
 */

/**
 * How it connects. `url` is that of `/v1/ws`, by default where this file came from.
 * @typedef {{
 *   url?: string | URL,
 *   reconnectMinMs?: number,
 *   reconnectMaxMs?: number,
 *   pingMs?: number,
 *   waitingMax?: number,
 *   onState?: (state: State) => void,
 *   onError?: (error: unknown) => void,
 * }} Options
 */

/** @typedef {"connecting" | "open" | "waiting" | "closed"} State */

/** A refusal: `code` is stable, `message` is for people. */
export class OctoqError extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   */
  constructor(code, detail) {
    super(detail);
    this.name = "OctoqError";
    /** @type {string} */
    this.code = code;
  }
}

/** A message that came: a push, a delivery or a reply. */
export class Message {
  /**
   * @param {any} head
   * @param {string | Uint8Array} body
   */
  constructor(head, body) {
    /** Text, or bytes where it is none. @type {string | Uint8Array} */
    this.body = body;
    /** @type {string} */
    this.topic = head.topic;
    /** @type {string | undefined} */
    this.queue = head.queue;
    /** @type {string} */
    this.id = head.id;
    /** @type {number} */
    this.seq = head.seq;
    /** @type {number | undefined} */
    this.epoch = head.epoch;
    /** @type {Record<string, any>} */
    this.attributes = head.attributes ?? {};
    /** Milliseconds since the Unix epoch. @type {number} */
    this.publishedAt = head.published_at_ms;
    /** Of a delivery: what it is acked by. @type {string | undefined} */
    this.receipt = head.receipt;
    /** Of a delivery: 1 on the first. @type {number | undefined} */
    this.attempt = head.attempt;
    /** Of a delivery: until when it may be acked. @type {number | undefined} */
    this.deadline = head.deadline_ms;
    /** The connection it came on: receipts are good on no other. @type {number} */
    this.connection = 0;
  }

  /** The body as text. */
  text() {
    return typeof this.body === "string" ? this.body : new TextDecoder().decode(this.body);
  }

  /** The body as JSON. @returns {any} */
  json() {
    return JSON.parse(this.text());
  }
}

/** A subscription; `close` ends it. */
export class Subscription {
  /**
   * @param {Octoq} octoq
   * @param {string} sub
   * @param {any} frame
   * @param {(message: Message) => unknown} handler
   * @param {SubscribeOptions & ConsumeOptions} options
   */
  constructor(octoq, sub, frame, handler, options) {
    /** Its name on the connection. */
    this.sub = sub;
    /** @internal */
    this.frame = frame;
    /** @internal */
    this.handler = handler;
    /** @internal */
    this.options = options;
    /** Where it is; `undefined` until that is known. @type {Position | undefined} */
    this.position = options.position;
    this.closed = false;
    /** The broker has taken it: what comes is for it, not for one of the same name before it. @internal */
    this.live = false;
    /** Resolves when the broker has taken it for the first time. @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      /** @internal */
      this.resolve = resolve;
      /** @internal */
      this.reject = reject;
    });
    // Who does not ask is told by `onEnd`.
    this.ready.catch(() => {});
    /** @internal */
    this.octoq = octoq;
  }

  /** Ends it. Deliveries that came before may still be acked. */
  close() {
    this.octoq.forget(this);
  }
}

/**
 * A request that is not answered yet.
 * @typedef {{
 *   frame: any,
 *   body: Uint8Array | undefined,
 *   again: boolean,
 *   sent: boolean,
 *   resolve: (answer: any) => void,
 *   reject: (error: OctoqError) => void,
 * }} Asked
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * @param {any} value
 * @returns {Uint8Array | undefined}
 */
function bytesOf(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

/**
 * A message as the broker takes it, and its bytes where they travel beside it.
 * @param {Publishable} given
 * @returns {{message: any, bytes: Uint8Array | undefined}}
 */
function outgoing(given) {
  if (typeof given === "string") return { message: { body: given }, bytes: undefined };
  const bare = bytesOf(given);
  if (bare) return { message: {}, bytes: bare };
  const { body, ...rest } = /** @type {any} */ (given);
  const bytes = bytesOf(body);
  if (bytes) return { message: rest, bytes };
  return { message: body === undefined ? rest : { body, ...rest }, bytes: undefined };
}

/** A key that nobody else makes. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");
}

/** One connection to octoq, made anew whenever it is lost. */
export class Octoq {
  /** @param {Options} [options] */
  constructor(options = {}) {
    const here = new URL("/v1/ws", import.meta.url);
    const url = new URL(options.url ?? here, here);
    url.protocol = url.protocol.replace(/^http/, "ws");
    /** @type {string} */
    this.url = url.href;
    this.options = {
      reconnectMinMs: 250,
      reconnectMaxMs: 15000,
      pingMs: 15000,
      waitingMax: 1000,
      onState: () => {},
      onError: console.error,
      ...options,
    };
    /** @type {State} */
    this.state = "connecting";
    /** @type {Map<string, Subscription>} */
    this.subscriptions = new Map();
    /** @type {Map<number, Asked>} */
    this.asked = new Map();
    this.lastReq = 0;
    this.lastSub = 0;
    this.failures = 0;
    /** Counts connections. */
    this.connection = 0;
    /** @type {WebSocket | undefined} */
    this.socket = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.connect();
  }

  /**
   * Publishes one message. Resolves when it is as durable as the topic says.
   *
   * A connection that is lost before the answer leaves open whether it was stored: the promise is
   * rejected with `connection_lost`. With `retry` (or a `dedup_key` of its own) it is sent again
   * instead, and stored once.
   * @param {string} topic
   * @param {Publishable} message
   * @param {{queue?: string, retry?: boolean}} [options]
   * @returns {Promise<Placed>}
   */
  publish(topic, message, { queue, retry = false } = {}) {
    const { message: head, bytes } = outgoing(message);
    if (retry) head.dedup_key ??= randomKey();
    const again = head.dedup_key !== undefined;
    return this.ask({ op: "publish", topic, queue, message: head }, { body: bytes, again });
  }

  /**
   * Publishes many at once: one result each, a {@link Placed} or `{problem}`.
   * @param {string} topic
   * @param {Publishable[]} messages
   * @param {{queue?: string, retry?: boolean}} [options]
   * @returns {Promise<Array<Placed | {problem: {code: string, detail: string}}>>}
   */
  async publishAll(topic, messages, { queue, retry = false } = {}) {
    const heads = messages.map(given => {
      const { message, bytes } = outgoing(given);
      if (bytes) message.base64 = base64(bytes);
      if (retry) message.dedup_key ??= randomKey();
      return message;
    });
    const again = heads.every(head => head.dedup_key !== undefined);
    return (await this.ask({ op: "publish", topic, queue, messages: heads }, { again })).results;
  }

  /**
   * Calls `handler` for each message of a pubsub topic from now on, or from behind a position.
   * @param {string} topic
   * @param {(message: Message) => void} handler
   * @param {SubscribeOptions} [options]
   * @returns {Subscription}
   */
  subscribe(topic, handler, options = {}) {
    const frame = { op: "subscribe", topic, slow: options.slow, binary: true };
    return this.enter(topic, frame, handler, options);
  }

  /**
   * Calls `handler` for each message of a queue of a broker topic, at most `prefetch` at a time.
   * @param {string} topic
   * @param {(delivery: Message) => unknown} handler
   * @param {ConsumeOptions} [options]
   * @returns {Subscription}
   */
  consume(topic, handler, options = {}) {
    const { queue, prefetch, ackDeadlineMs } = options;
    const frame = { op: "consume", topic, queue, prefetch, ack_deadline_ms: ackDeadlineMs, binary: true };
    return this.enter(queue === undefined ? topic : `${topic}/${queue}`, frame, handler, options);
  }

  /**
   * A delivery is done.
   * @param {Message} delivery
   */
  async ack(delivery) {
    await this.settle("ack", delivery, {});
  }

  /**
   * A delivery is given back: it failed (`fail`, which counts), was not worked on (`release`), or
   * never will be (`dead`).
   * @param {Message} delivery
   * @param {{mode?: "fail" | "release" | "dead", delayMs?: number, error?: string}} [options]
   */
  async nack(delivery, { mode, delayMs, error } = {}) {
    await this.settle("nack", delivery, { mode, delay_ms: delayMs, error });
  }

  /**
   * A delivery takes longer: so many milliseconds from now.
   * @param {Message} delivery
   * @param {number} ackDeadlineMs
   */
  async extend(delivery, ackDeadlineMs) {
    const answer = await this.settle("extend", delivery, { ack_deadline_ms: ackDeadlineMs });
    delivery.deadline = answer.deadline_ms;
  }

  /**
   * Publishes a message and waits for a reply to it.
   * @param {string} topic
   * @param {Publishable} message
   * @param {{queue?: string, timeoutMs?: number}} [options]
   * @returns {Promise<Message>}
   */
  request(topic, message, { queue, timeoutMs = 10000 } = {}) {
    const { message: head, bytes } = outgoing(message);
    const frame = { op: "request", topic, queue, message: head, timeout_ms: timeoutMs };
    return this.ask(frame, { body: bytes });
  }

  /**
   * Replies to a message that wants a reply.
   * @param {Message} to
   * @param {Publishable} message
   */
  async reply(to, message) {
    const { "reply-to": address, "correlation-id": correlation } = to.attributes;
    if (address === undefined) throw new OctoqError("no_reply_wanted", "the message asks for no reply");
    const { message: head, bytes } = outgoing(message);
    await this.ask({ op: "reply", to: address, correlation, message: head }, { body: bytes });
  }

  /** Ends everything. What the broker has not answered is rejected. */
  close() {
    this.enterState("closed");
    clearTimeout(this.timer);
    clearInterval(this.pings);
    const error = new OctoqError("closed", "the connection was closed by the page");
    for (const asked of this.asked.values()) asked.reject(error);
    this.asked.clear();
    for (const subscription of this.subscriptions.values()) {
      subscription.closed = true;
      subscription.reject?.(error);
    }
    this.subscriptions.clear();
    this.socket?.close(1000);
  }

  // What follows is not for pages.

  /** @internal @param {State} state */
  enterState(state) {
    if (this.state === state) return;
    this.state = state;
    this.guard(() => this.options.onState(state));
  }

  /** @internal @param {() => void} call */
  guard(call) {
    try {
      call();
    } catch (error) {
      this.options.onError(error);
    }
  }

  /** @internal */
  connect() {
    this.enterState("connecting");
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => this.opened(socket);
    socket.onmessage = event => this.heard(socket, event.data);
    socket.onclose = () => this.lost(socket);
  }

  /** @internal @param {WebSocket} socket */
  opened(socket) {
    if (socket !== this.socket) return;
    this.connection += 1;
    this.lastHeard = Date.now();
    clearInterval(this.pings);
    this.pings = setInterval(() => this.watch(socket), this.options.pingMs);
    for (const subscription of this.subscriptions.values()) this.begin(subscription);
    for (const [req, asked] of this.asked) if (!asked.sent) this.send(req, asked);
    this.enterState("open");
  }

  /**
   * A connection that died without a word is noticed by its silence.
   * @internal @param {WebSocket} socket
   */
  watch(socket) {
    const silent = Date.now() - (this.lastHeard ?? 0);
    if (silent > 2 * this.options.pingMs) {
      this.lost(socket);
      socket.close();
    } else if (silent > this.options.pingMs / 2 && socket.readyState === WebSocket.OPEN) {
      socket.send('{"op":"ping"}');
    }
  }

  /** @internal @param {WebSocket} socket */
  lost(socket) {
    if (socket !== this.socket) return;
    this.socket = undefined;
    clearInterval(this.pings);
    if (this.state === "closed") return;
    const error = new OctoqError("connection_lost", "the connection was lost before the answer");
    for (const [req, asked] of this.asked) {
      if (!asked.sent) continue;
      if (asked.again) {
        asked.sent = false;
      } else {
        this.asked.delete(req);
        asked.reject(error);
      }
    }
    const { reconnectMinMs, reconnectMaxMs } = this.options;
    const most = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** Math.min(this.failures, 20));
    this.failures += 1;
    this.enterState("waiting");
    if (this.state !== "waiting") return;
    // Jitter: pages that lost one broker at one moment do not come back at one moment.
    this.timer = setTimeout(() => this.connect(), most / 2 + (Math.random() * most) / 2);
  }

  /**
   * @internal
   * @param {any} frame
   * @param {{body?: Uint8Array, again?: boolean}} [options]
   * @returns {Promise<any>}
   */
  ask(frame, { body, again = false } = {}) {
    return new Promise((resolve, reject) => {
      if (this.state === "closed") {
        return reject(new OctoqError("closed", "the connection was closed by the page"));
      }
      if (this.asked.size >= this.options.waitingMax) {
        return reject(new OctoqError("too_many", "too many requests wait for their answer"));
      }
      const asked = { frame, body, again, sent: false, resolve, reject };
      const req = ++this.lastReq;
      this.asked.set(req, asked);
      if (this.state === "open") this.send(req, asked);
    });
  }

  /** @internal @param {number} req @param {Asked} asked */
  send(req, asked) {
    const socket = this.socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) return;
    asked.sent = true;
    const text = JSON.stringify({ ...asked.frame, req });
    if (asked.body === undefined) return socket.send(text);
    const head = encoder.encode(text);
    const frame = new Uint8Array(4 + head.length + asked.body.length);
    new DataView(frame.buffer).setUint32(0, head.length);
    frame.set(head, 4);
    frame.set(asked.body, 4 + head.length);
    socket.send(frame);
  }

  /**
   * @internal
   * @param {string} name
   * @param {any} frame
   * @param {(message: Message) => unknown} handler
   * @param {any} options
   */
  enter(name, frame, handler, options) {
    if (this.state === "closed") throw new OctoqError("closed", "the connection was closed by the page");
    // The first of a name has just the name: the broker encodes a push once for all who call it alike.
    const sub = this.subscriptions.has(name) ? `${name}#${++this.lastSub}` : name;
    const subscription = new Subscription(this, sub, frame, handler, options);
    this.subscriptions.set(sub, subscription);
    if (this.state === "open") this.begin(subscription);
    return subscription;
  }

  /** @internal @param {Subscription} subscription */
  begin(subscription) {
    const { sub, frame, position } = subscription;
    const connection = this.connection;
    const req = ++this.lastReq;
    subscription.live = false;
    /** @type {Asked} */
    const asked = {
      frame: { ...frame, ...position, sub },
      body: undefined,
      again: false,
      sent: false,
      resolve: answer => {
        subscription.live = true;
        // What it resumed from stays its position until it has heard what it missed.
        if (answer.epoch !== undefined) {
          subscription.position ??= { epoch: answer.epoch, seq: answer.seq };
        }
        subscription.resolve?.();
      },
      reject: error => {
        // A connection that was lost is made again, and this with it.
        if (error.code === "connection_lost" || connection !== this.connection) return;
        this.ended(subscription, error);
      },
    };
    this.asked.set(req, asked);
    this.send(req, asked);
  }

  /** @internal @param {Subscription} subscription */
  forget(subscription) {
    if (subscription.closed) return;
    subscription.closed = true;
    this.subscriptions.delete(subscription.sub);
    // A connection that is lost has forgotten it anyway.
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.ask({ op: "unsubscribe", sub: subscription.sub }).catch(() => {});
  }

  /** Errors that pass: the broker is asked again. @internal */
  static passing = new Set(["busy", "topic_unavailable", "stopping", "starting", "too_many"]);

  /** @internal @param {Subscription} subscription @param {OctoqError} error */
  ended(subscription, error) {
    if (subscription.closed) return;
    if (Octoq.passing.has(error.code)) {
      const connection = this.connection;
      const wait = this.options.reconnectMinMs * (1 + Math.random());
      setTimeout(() => {
        const same = connection === this.connection && this.state === "open";
        if (same && !subscription.closed) this.begin(subscription);
      }, wait);
      return;
    }
    subscription.closed = true;
    this.subscriptions.delete(subscription.sub);
    subscription.reject?.(error);
    this.guard(() => subscription.options.onEnd?.(error));
  }

  /** @internal @param {string} op @param {Message} delivery @param {any} more */
  settle(op, delivery, more) {
    if (delivery.connection !== this.connection || this.state !== "open") {
      const detail = "the connection it came on was lost, and with it the delivery";
      return Promise.reject(new OctoqError("receipt_gone", detail));
    }
    return this.ask({ op, topic: delivery.topic, receipt: delivery.receipt, ...more });
  }

  /** @internal @param {WebSocket} socket @param {string | ArrayBuffer} data */
  heard(socket, data) {
    if (socket !== this.socket) return;
    this.lastHeard = Date.now();
    this.failures = 0;
    let head, body;
    if (typeof data === "string") {
      head = JSON.parse(data);
      body = head.base64 === undefined ? head.body : Uint8Array.from(atob(head.base64), c => c.charCodeAt(0));
    } else {
      const length = new DataView(data).getUint32(0);
      head = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
      body = new Uint8Array(data, 4 + length);
    }
    const subscription = this.subscriptions.get(head.sub);
    switch (head.type) {
      case "ok":
        return this.answered(head.req)?.resolve(head);
      case "reply":
        return this.answered(head.req)?.resolve(new Message(head, body));
      case "error": {
        const error = new OctoqError(head.code, head.detail);
        const asked = this.answered(head.req);
        return asked ? asked.reject(error) : this.options.onError(error);
      }
      case "message":
        if (!subscription?.live) return;
        subscription.position = { epoch: head.epoch, seq: head.seq };
        return this.guard(() => subscription.handler(new Message(head, body)));
      case "gap":
        if (!subscription?.live) return;
        subscription.position = { epoch: head.epoch, seq: head.through };
        return this.guard(() => subscription.options.onGap?.(head));
      case "delivery":
        if (subscription?.live) this.deliver(subscription, new Message(head, body));
        return;
      case "ended":
        if (subscription) this.ended(subscription, new OctoqError(head.code, head.detail));
        return;
    }
  }

  /** @internal @param {number} req */
  answered(req) {
    const asked = this.asked.get(req);
    this.asked.delete(req);
    return asked;
  }

  /** @internal @param {Subscription} subscription @param {Message} delivery */
  async deliver(subscription, delivery) {
    delivery.connection = this.connection;
    if (subscription.options.manual) return this.guard(() => subscription.handler(delivery));
    try {
      await subscription.handler(delivery);
    } catch (error) {
      this.options.onError(error);
      const reason = error instanceof Error ? error.message : String(error);
      return this.nack(delivery, { error: reason }).catch(() => {});
    }
    // A delivery that cannot be acked any more comes again.
    await this.ack(delivery).catch(() => {});
  }
}
