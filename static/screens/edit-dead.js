// A dead letter, corrected and tried again.

import { html, useState } from "../vendor/htm-preact.js";
import { curl, post, queuePath } from "../api.js";
import { parseExact } from "../format.js";
import { Dialog, Terminal, Text, toast, useBusy } from "../parts.js";

/** What was typed as attributes: an object, or undefined. */
export function parseAttributes(text) {
  if (text.trim() === "") return {};
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const isJson = text => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

export function EditDead({ topic, queue, message, onClose, onDone }) {
  const binary = message.base64 !== undefined;
  const [text, setText] = useState(message.body ?? message.base64 ?? "");
  const [attributes, setAttributes] = useState(message.attributes ? JSON.stringify(message.attributes, null, 2) : "{}");
  const [to, setTo] = useState(queue);
  const [error, setError] = useState(null);
  const [busy, run] = useBusy();
  const parsed = parseAttributes(attributes);
  const wasJson = !binary && isJson(message.body ?? "");
  const path = `${queuePath(topic, queue)}/messages/${encodeURIComponent(message.id)}/edit`;
  const body = { [binary ? "base64" : "body"]: text };
  if (JSON.stringify(parsed) !== JSON.stringify(message.attributes ?? {})) body.attributes = parsed;
  if (to && to !== queue) body.to = to;
  const send = () =>
    run(async () => {
      try {
        const placed = await post(path, body);
        toast(placed.replaced ? `Published anew as no. ${placed.seq}; the dead letter is gone` : `Published anew as no. ${placed.seq}; the dead letter was gone already`);
        onDone(placed);
      } catch (problem) {
        setError(problem);
      }
    });
  const pretty = () => setText(JSON.stringify(parseExact(text), null, 2));
  const foot = html`<button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy || !parsed || message.masked}>Redrive the edited message</button>`;
  return html`<${Dialog} wide title="Edit and redrive" onClose=${onClose} onSubmit=${send} foot=${foot}>
    ${error && html`<div class="notice bad" role="alert">${error.message} <code>${error.code}</code></div>`}
    ${message.masked && html`<div class="notice warn">The body is masked; it cannot be edited by you.</div>`}
    <${Text} label=${binary ? "Body (base64: it is no text)" : "Body"} area value=${text} onChange=${setText} rows="12" name="body" autofocus=${true} hint=${wasJson && !isJson(text) ? "This is not JSON any more; it was" : undefined} />
    ${wasJson && isJson(text) && parseExact(text) !== undefined && html`<div class="row"><button type="button" class="small" onClick=${pretty}>Format as JSON</button></div>`}
    <${Text} label="Attributes, a JSON object" area value=${attributes} onChange=${setAttributes} rows="4" name="attributes" aria-invalid=${!parsed} />
    <${Text} label="Into queue" value=${to} onChange=${setTo} name="to" />
    <${Terminal} text=${curl("POST", path, body)} />
  <//>`;
}
