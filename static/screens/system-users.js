// Who may come: users with passwords, and bearer tokens.

import { html, useState } from "../vendor/htm-preact.js";
import { ask, curl, get, post } from "../api.js";
import { parseSpan } from "../format.js";
import { Badge, CopyButton, Dialog, Failed, Icon, Loading, Select, SpanField, Text, Time, confirmLoss, toast, useBusy, useLoad } from "../parts.js";
import { session } from "../state.js";
import { PlainTable } from "../table.js";

const ROLES = [["viewer", "viewer: looks, changes nothing"], ["user", "user: its own topics"], ["operator", "operator: every topic"], ["admin", "admin: everything"]];

function PutUser({ user, onClose, onDone }) {
  const [name, setName] = useState(user?.name ?? "");
  const [role, setRole] = useState(user?.role ?? "user");
  const [password, setPassword] = useState("");
  const [topics, setTopics] = useState((user?.topics ?? []).join(", "));
  const [error, setError] = useState(null);
  const [busy, run] = useBusy();
  const save = () =>
    run(async () => {
      try {
        const changes = { role, ...(role === "user" ? { topics: topics.split(",").map(one => one.trim()).filter(Boolean) } : {}) };
        // Without a new password the old one stays.
        const path = `/users/${encodeURIComponent(name)}`;
        await (password ? ask("PUT", path, { password, ...changes }) : ask("PATCH", path, changes));
        toast(user ? `${name} changed` : `${name} made`);
        onDone();
      } catch (problem) {
        setError(problem);
      }
    });
  const foot = html`<button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy || !name || (!user && !password)}>${user ? "Change" : "Make the user"}</button>`;
  return html`<${Dialog} title=${user ? `Change ${user.name}` : "New user"} onClose=${onClose} onSubmit=${save} foot=${foot}>
    ${error && html`<div class="notice bad" role="alert">${error.message}</div>`}
    <${Text} label="Name" value=${name} onChange=${setName} disabled=${Boolean(user)} autofocus=${!user} autocomplete="off" />
    <${Text} label=${user ? "New password" : "Password"} type="password" value=${password} onChange=${setPassword} autocomplete="new-password" hint=${user ? "Empty: it stays as it is" : undefined} />
    <${Select} label="Role" autofocus=${Boolean(user)} value=${role} onChange=${setRole} options=${ROLES.some(([key]) => key === role) ? ROLES : [...ROLES, role]} />
    ${role === "user" && html`<${Text} label="Topics" value=${topics} onChange=${setTopics} hint="Separated by commas; those it makes are its own, too" />`}
  <//>`;
}

function NewToken({ users, onClose, onDone }) {
  const [name, setName] = useState("");
  const [user, setUser] = useState(session.get()?.user ?? users[0]?.name ?? "");
  const [rights, setRights] = useState("rw");
  const [topics, setTopics] = useState("");
  const [ttl, setTtl] = useState("90d");
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const [busy, run] = useBusy();
  const make = () =>
    run(async () => {
      try {
        const ms = parseSpan(ttl);
        setMade(await post("/tokens", { name, user, rights, topics: topics.split(",").map(one => one.trim()).filter(Boolean), ...(ms ? { ttl_ms: ms } : {}) }));
      } catch (problem) {
        setError(problem);
      }
    });
  if (made) {
    return html`<${Dialog} title=${`Token ${made.name}`} onClose=${onDone} foot=${html`<button type="button" class="primary" onClick=${onDone}>I have it</button>`}>
      <p>This is shown once. Send it as <code>Authorization: Bearer …</code></p>
      <div class="code-line"><code>${made.token}</code><${CopyButton} text=${made.token} /></div>
    <//>`;
  }
  const foot = html`<button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy || !name || !user || (ttl.trim() !== "" && !parseSpan(ttl))}>Make the token</button>`;
  return html`<${Dialog} title="New token" onClose=${onClose} onSubmit=${make} foot=${foot}>
    ${error && html`<div class="notice bad" role="alert">${error.message}</div>`}
    <${Text} label="Name" value=${name} onChange=${setName} autofocus=${true} />
    <div class="fields">
      <${Select} label="User" value=${user} onChange=${setUser} options=${users.length ? users.map(one => one.name) : [user]} />
      <${Text} label="Rights" value=${rights} onChange=${setRights} hint="letters of r, w, a" />
      <${SpanField} label="Good for" value=${ttl} onChange=${setTtl} hint="empty: for ever" />
    </div>
    <${Text} label="Only these topics" value=${topics} onChange=${setTopics} hint="Separated by commas; empty: all the user's" />
  <//>`;
}

export function Users() {
  const users = useLoad(signal => get("/users", { signal }), []);
  const tokens = useLoad(signal => get("/tokens", { signal }), []);
  const [changing, change] = useState(null);
  const [making, make] = useState(false);
  const [busy, run] = useBusy();
  if (users.error) return html`<${Failed} error=${users.error} again=${users.again} />`;
  if (!users.value) return html`<${Loading} />`;
  const remove = name =>
    run(async () => {
      const path = `/users/${encodeURIComponent(name)}`;
      const lost = html`The user <b class="name">${name}</b> and its tokens are good no more. Its topics stay.`;
      if (!(await confirmLoss({ title: `Remove ${name}?`, lost, name, action: "Remove the user", curl: curl("DELETE", path) }))) return;
      await ask("DELETE", path);
      toast(`${name} removed`);
      users.again();
      tokens.again();
    });
  const revoke = name =>
    run(async () => {
      const path = `/tokens/${encodeURIComponent(name)}`;
      if (!(await confirmLoss({ title: `Revoke ${name}?`, lost: html`Who uses the token <b class="name">${name}</b> is refused from now on.`, name, action: "Revoke the token", curl: curl("DELETE", path) }))) return;
      await ask("DELETE", path);
      toast(`${name} revoked`);
      tokens.again();
    });
  const userRows = users.value.users.map(user => ({
    key: user.name,
    cells: [html`<span class="name">${user.name}</span>`, html`<${Badge} tone=${user.role === "admin" ? "warn" : ""}>${user.role}<//>`, user.topics.length ? html`<span class="name">${user.topics.join(", ")}</span>` : html`<span class="dim">–</span>`, html`<span class="row"><button data-first class="small" onClick=${() => change(user)}>Change …</button><button class="small danger" disabled=${busy} onClick=${() => remove(user.name)}>Remove …</button></span>`],
  }));
  const tokenRows = (tokens.value?.tokens ?? []).map(token => ({
    key: token.name,
    cells: [html`<span class="name">${token.name}</span>`, token.user, html`<code>${token.rights}</code>`, token.topics.join(", ") || html`<span class="dim">all</span>`, html`<${Time} at=${token.created_at_ms} />`, token.expires_at_ms === undefined ? html`<span class="dim">never</span>` : html`<${Time} at=${token.expires_at_ms} />`, html`<button data-first class="small danger" disabled=${busy} onClick=${() => revoke(token.name)}>Revoke …</button>`],
  }));
  return html`<div class="stack">
    <section class="card" aria-label="Users"><h2>Users <span class="tab-count">${userRows.length}</span><span class="grow"></span><button class="small" onClick=${() => change({})}><${Icon} of="plus" />New user</button></h2><${PlainTable} label="Users" columns=${[{ key: "name", label: "Name" }, { key: "role", label: "Role" }, { key: "topics", label: "Topics", class: "wrap" }, { key: "do", label: "", class: "do" }]} rows=${userRows} /></section>
    <section class="card" aria-label="Tokens"><h2>Tokens <span class="tab-count">${tokenRows.length}</span><span class="grow"></span><button class="small" onClick=${() => make(true)}><${Icon} of="plus" />New token</button></h2><${PlainTable} label="Tokens" columns=${[{ key: "name", label: "Name" }, { key: "user", label: "User" }, { key: "rights", label: "Rights" }, { key: "topics", label: "Topics", class: "wrap" }, { key: "made", label: "Made" }, { key: "ends", label: "Ends" }, { key: "do", label: "", class: "do" }]} rows=${tokenRows} empty=${html`<p class="calm">None.</p>`} /></section>
    ${changing && html`<${PutUser} user=${changing.name ? changing : null} onClose=${() => change(null)} onDone=${() => {
      change(null);
      users.again();
    }} />`}
    ${making && html`<${NewToken} users=${users.value.users} onClose=${() => make(false)} onDone=${() => {
      make(false);
      tokens.again();
    }} />`}
  </div>`;
}
