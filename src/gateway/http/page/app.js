// The web chat page: one socket to the gateway that served it, one conversation on it.
//
// Speaks protocol 3 as an operator. Never talks to any other host, never builds HTML from text.
// Order of the file: settings, identity, socket, conversation, drawing, wiring.

const PROTOCOL = 3;
const CLIENT = { id: "webchat-ui", mode: "webchat", version: "1", platform: "web" };
const ROLE = "operator";
// What the page calls needs no more than this; a stolen token of this device cannot change the configuration.
const SCOPES = ["operator.read", "operator.write"];
const HISTORY_LIMIT = 200;
const REQUEST_TIMEOUT_MS = 15000;
const HANDSHAKE_TIMEOUT_MS = 12000;
const BACKOFF_FIRST_MS = 800;
const BACKOFF_FACTOR = 1.7;
const BACKOFF_MAX_MS = 15000;
const CLOCK_MS = 5000;

const $ = (id) => document.getElementById(id);

// ---- settings -------------------------------------------------------------------------------------------------

const basePath = String(window.__CLAWDBOT_CONTROL_UI_BASE_PATH__ ?? "").replace(/\/+$/, "");
const place = location.origin + basePath;
const socketUrl = location.origin.replace(/^http/, "ws") + (basePath || "") + "/";
const query = takeSecretsFromAddress();

/** Storage may be forbidden (private windows, policies): the page then lives without memory. */
const saved = {
  key: (name) => `clawdbot.webchat.${name}:${place}`,
  get(name) {
    try { return localStorage.getItem(saved.key(name)) || ""; } catch { return ""; }
  },
  set(name, value) {
    try {
      if (value) localStorage.setItem(saved.key(name), value);
      else localStorage.removeItem(saved.key(name));
    } catch { /* nothing to remember it in */ }
  },
};

if (query.token) saved.set("token", query.token);
const secrets = { token: query.token || saved.get("token"), password: query.password, deviceToken: saved.get("device-token") };

/** Reads `token` and `password` from query and fragment and takes them out of the address bar and the history. */
function takeSecretsFromAddress() {
  const url = new URL(location.href);
  const fragment = new URLSearchParams(url.hash.replace(/^#/, ""));
  const found = {};
  let changed = false;
  // A link must not be able to point the page, and so its token, at another gateway: gatewayUrl is only removed.
  for (const name of ["token", "password", "gatewayUrl"]) {
    found[name] = (url.searchParams.get(name) || fragment.get(name) || "").trim();
    changed ||= url.searchParams.has(name) || fragment.has(name);
    url.searchParams.delete(name);
    fragment.delete(name);
  }
  if (changed) {
    url.hash = fragment.toString();
    history.replaceState(null, "", url);
  }
  return { token: found.token, password: found.password, session: url.searchParams.get("session")?.trim() || "" };
}

// ---- identity -------------------------------------------------------------------------------------------------

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/** This browser's key pair, or null where WebCrypto, Ed25519 or IndexedDB is missing: a token is needed then. */
const identity = (async () => {
  try {
    if (!crypto.subtle || !window.indexedDB) return null;
    const keys = await keyPair();
    const raw = await crypto.subtle.exportKey("raw", keys.publicKey);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
    const id = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return { id, publicKey: base64url(raw), privateKey: keys.privateKey };
  } catch {
    return null;
  }
})();

/** The stored key pair, made at the first visit. The private key cannot be exported, not even by this page. */
async function keyPair() {
  const database = await asPromise(() => {
    const opening = indexedDB.open(`clawdbot.webchat:${place}`, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    return opening;
  });
  const read = () => asPromise(() => database.transaction("keys").objectStore("keys").get("device"));
  const stored = await read();
  if (stored) return stored;
  const made = await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
  // `add` fails when another tab was first; its pair is the one that both use.
  try {
    await asPromise(() => database.transaction("keys", "readwrite").objectStore("keys").add(made, "device"));
    return made;
  } catch (error) {
    const other = await read();
    if (other) return other;
    throw error;
  }
}

function asPromise(start) {
  return new Promise((resolve, reject) => {
    const request = start();
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function signedDevice(device, token, challenge) {
  // The gateway's own clock: a wrong clock on a phone must not look like a replayed signature.
  const signedAt = Number.isSafeInteger(challenge.ts) ? challenge.ts : Date.now();
  const text = ["v2", device.id, CLIENT.id, CLIENT.mode, ROLE, SCOPES.join(","), signedAt, token, challenge.nonce].join("|");
  const signature = await crypto.subtle.sign({ name: "Ed25519" }, device.privateKey, new TextEncoder().encode(text));
  return { id: device.id, publicKey: device.publicKey, signature: base64url(signature), signedAt, nonce: challenge.nonce };
}

// ---- socket ---------------------------------------------------------------------------------------------------

const link = {
  socket: null,
  ready: false,
  locked: false, // waiting for the user to give a token or password
  pending: new Map(), // request id → { resolve, reject, timer }
  nextId: 1,
  lastSeq: null,
  heardAt: 0,
  tickMs: 30000,
  delayMs: BACKOFF_FIRST_MS,
  retry: 0,
  handshake: 0,
};

function open() {
  clearTimeout(link.retry);
  link.retry = 0;
  if (link.socket || link.locked) return;
  setState("connecting", "Connecting");
  let socket;
  try {
    socket = new WebSocket(socketUrl);
  } catch {
    reconnectLater();
    return;
  }
  link.socket = socket;
  link.lastSeq = null;
  link.handshake = setTimeout(() => lost(socket), HANDSHAKE_TIMEOUT_MS);
  socket.onmessage = ({ data }) => {
    if (link.socket !== socket || typeof data !== "string") return;
    link.heardAt = Date.now();
    let frame;
    try { frame = JSON.parse(data); } catch { return; }
    if (frame.type === "res") onResponse(frame);
    else if (frame.type === "event") onEvent(frame, socket);
  };
  socket.onclose = () => lost(socket);
}

/** Gives the socket up. A dead peer never answers a close frame, so nothing waits for `onclose`. */
function lost(socket) {
  if (link.socket !== socket) return;
  link.socket = null;
  link.ready = false;
  clearTimeout(link.handshake);
  try { socket.close(); } catch { /* already gone */ }
  for (const waiting of link.pending.values()) {
    clearTimeout(waiting.timer);
    waiting.reject(new Lost());
  }
  link.pending.clear();
  chat.runs.clear();
  draw();
  if (link.locked) return;
  setState("offline", "Offline");
  if (!banner.text) showBanner("Connection lost. Reconnecting…", "lost");
  reconnectLater();
}

class Lost extends Error {
  constructor() { super("connection lost"); }
}

function reconnectLater(delayMs = link.delayMs) {
  clearTimeout(link.retry);
  link.retry = setTimeout(open, delayMs);
  link.delayMs = Math.min(link.delayMs * BACKOFF_FACTOR, BACKOFF_MAX_MS);
}

function reconnectNow() {
  if (link.socket || link.locked || !link.retry) return;
  link.delayMs = BACKOFF_FIRST_MS;
  open();
}

function request(method, params, timeoutMs = REQUEST_TIMEOUT_MS) {
  const socket = link.socket;
  if (!socket || socket.readyState !== WebSocket.OPEN) return Promise.reject(new Lost());
  const id = String(link.nextId++);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      link.pending.delete(id);
      reject(new Error(`${method}: no answer within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    link.pending.set(id, { resolve, reject, timer });
    socket.send(JSON.stringify({ type: "req", id, method, params }));
  });
}

function onResponse(frame) {
  const waiting = link.pending.get(frame.id);
  if (!waiting) return;
  link.pending.delete(frame.id);
  clearTimeout(waiting.timer);
  if (frame.ok) {
    waiting.resolve(frame.payload ?? {});
  } else {
    const error = new Error(frame.error?.message || "the gateway refused the request");
    error.code = frame.error?.code;
    error.details = frame.error?.details;
    waiting.reject(error);
  }
}

async function connect(socket, challenge) {
  const device = await identity;
  const cached = device ? secrets.deviceToken : "";
  const token = cached || secrets.token;
  const params = {
    minProtocol: PROTOCOL,
    maxProtocol: PROTOCOL,
    client: CLIENT,
    role: ROLE,
    scopes: SCOPES,
    caps: [],
    locale: navigator.language,
    userAgent: navigator.userAgent,
  };
  if (token || secrets.password) {
    params.auth = {};
    if (token) params.auth.token = token;
    if (secrets.password) params.auth.password = secrets.password;
  }
  try {
    if (device) params.device = await signedDevice(device, token, challenge);
    if (link.socket !== socket) return;
    const hello = await request("connect", params);
    if (link.socket === socket) onHello(hello);
  } catch (error) {
    if (link.socket !== socket || error instanceof Lost) return;
    onRefused(socket, error, Boolean(cached));
  }
}

function onHello(hello) {
  clearTimeout(link.handshake);
  link.ready = true;
  link.delayMs = BACKOFF_FIRST_MS;
  link.tickMs = hello.policy?.tickIntervalMs || link.tickMs;
  if (hello.auth?.deviceToken) {
    secrets.deviceToken = hello.auth.deviceToken;
    saved.set("device-token", secrets.deviceToken);
  }
  const defaults = hello.snapshot?.sessionDefaults ?? {};
  chat.mainKey = defaults.mainKey || "main";
  chat.mainSessionKey = defaults.mainSessionKey || "main";
  chat.sessionKey = query.session || chat.mainSessionKey;
  health.version = hello.server?.version || "";
  health.startedAt = Date.now() - (hello.snapshot?.uptimeMs ?? 0);
  setHealth(hello.snapshot?.health);
  setState("connected", "Connected");
  hideBanner();
  hideUnlock();
  refresh().then(resendUnanswered);
}

function onRefused(socket, error, usedDeviceToken) {
  const text = error.message;
  if (/^unauthorized/.test(text) && usedDeviceToken) {
    // Revoked or from an earlier installation: the shared secret, if there is one, gets its turn.
    secrets.deviceToken = "";
    saved.set("device-token", "");
    lost(socket);
    open();
  } else if (/^unauthorized|device identity required/.test(text)) {
    link.locked = true;
    lost(socket);
    showUnlock(text);
  } else if (/pairing required/.test(text)) {
    const id = error.details?.requestId;
    showBanner(`This browser is not approved yet. On the gateway host run: clawdbot devices approve ${id ?? "<request>"}`, "refused");
    lost(socket);
  } else {
    showBanner(`The gateway refused this page: ${text}`, "refused");
    lost(socket);
  }
}

function onEvent(frame, socket) {
  const payload = frame.payload ?? {};
  if (frame.event === "connect.challenge") {
    connect(socket, payload);
    return;
  }
  if (!link.ready) return;
  if (Number.isInteger(frame.seq)) {
    const gap = link.lastSeq !== null && frame.seq > link.lastSeq + 1;
    link.lastSeq = frame.seq;
    if (gap) refresh();
  }
  if (frame.event === "chat") onChat(payload);
  else if (frame.event === "agent") onAgent(payload);
  else if (frame.event === "health") setHealth(payload);
  else if (frame.event === "shutdown") {
    const restart = Number.isFinite(payload.restartExpectedMs);
    if (restart) link.delayMs = Math.min(Math.max(payload.restartExpectedMs, BACKOFF_FIRST_MS), BACKOFF_MAX_MS);
    showBanner(restart ? "The gateway is restarting…" : "The gateway is stopping. This page reconnects when it is back.", "shutdown");
  }
}

/** Ticks stop without a close when a laptop sleeps or a network changes; time tells. */
function clock() {
  if (link.ready && Date.now() - link.heardAt > 2 * link.tickMs) lost(link.socket);
  drawHealth();
}

// ---- conversation ---------------------------------------------------------------------------------------------

const chat = {
  sessionKey: "main",
  mainKey: "main",
  mainSessionKey: "main",
  history: [],
  tail: [], // what the transcript does not hold yet: { kind, text, runId?, state? }
  runs: new Map(), // run id → { text, tool }
  loading: null,
  loadAgain: false,
};

const isOurs = (key) => key === chat.sessionKey || (key === chat.mainKey && chat.sessionKey === chat.mainSessionKey);

function onChat(event) {
  if (!isOurs(event.sessionKey)) return;
  const text = plainText(event.message);
  if (event.state === "delta") {
    const run = startRun(event.runId);
    run.text = text;
    run.tool = "";
    draw();
    return;
  }
  const run = chat.runs.get(event.runId);
  chat.runs.delete(event.runId);
  const answered = (text || run?.text || "").trim();
  if (event.state === "final") {
    // Stands until the reloaded history holds it, so that the answer never blinks away.
    if (answered) chat.tail.push({ kind: "assistant", text: answered, runId: event.runId });
  } else if (event.state === "error") {
    chat.tail.push({ kind: "error", text: event.errorMessage || "The run failed without saying why." });
  } else if (event.state === "aborted") {
    if (answered) chat.tail.push({ kind: "assistant", text: answered });
    chat.tail.push({ kind: "note", text: event.stopReason === "timeout" ? "Stopped: it took too long." : "Stopped." });
  }
  draw();
  loadHistory(event.runId);
}

function onAgent(event) {
  if (!isOurs(event.sessionKey) || event.stream !== "tool" || event.data?.phase !== "start") return;
  startRun(event.runId).tool = String(event.data.name ?? "");
  draw();
}

function startRun(id) {
  if (!chat.runs.has(id)) chat.runs.set(id, { text: "", tool: "" });
  return chat.runs.get(id);
}

async function refresh() {
  const history = loadHistory();
  request("health", {}).then(setHealth, () => {});
  await history;
}

/** Reloads the transcript; calls during a load are folded into one more load. */
function loadHistory(finishedRun) {
  if (finishedRun) {
    for (const item of chat.tail) if (item.runId === finishedRun) item.state = "done";
  }
  if (chat.loading) {
    chat.loadAgain = true;
    return chat.loading;
  }
  chat.loading = (async () => {
    do {
      chat.loadAgain = false;
      const done = new Set(chat.tail.filter((item) => item.state === "done"));
      try {
        const { messages } = await request("chat.history", { sessionKey: chat.sessionKey, limit: HISTORY_LIMIT });
        chat.history = Array.isArray(messages) ? messages : [];
        dropRecorded(done);
      } catch {
        // Offline or refused: what is on the screen stays, the next connection loads again.
        chat.loadAgain = false;
      }
      draw();
    } while (chat.loadAgain);
    chat.loading = null;
  })();
  return chat.loading;
}

/** Takes out of the tail what the transcript holds by now. A text not found there stays visible. */
function dropRecorded(done) {
  const recent = chat.history.slice(-40);
  const recorded = (role, text) => recent.some((it) => it.role === role && sameText(plainText(it), text));
  chat.tail = chat.tail.filter((item) => {
    if (item.kind === "user") return !(item.state !== "waiting" && recorded("user", item.text)) && !(done.has(item) && isCommand(item.text));
    if (item.kind === "assistant") return !recorded("assistant", item.text);
    return true;
  });
}

const sameText = (a, b) => a.replace(/\s+/g, " ").trim() === b.replace(/\s+/g, " ").trim();
const isCommand = (text) => text.trim().startsWith("/");

function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function send(text) {
  if (!text.trim() || !link.ready) return false;
  // Old notices have been read by whoever writes on.
  chat.tail = chat.tail.filter((item) => item.kind !== "note" && item.kind !== "error");
  const item = { kind: "user", text, runId: newId(), state: "waiting" };
  chat.tail.push(item);
  draw(true);
  deliver(item);
  return true;
}

async function deliver(item) {
  try {
    const answer = await request("chat.send", {
      sessionKey: chat.sessionKey,
      message: item.text,
      deliver: false,
      idempotencyKey: item.runId,
    });
    if (item.state === "waiting") item.state = "sent";
    if (answer.status === "started" || answer.status === "in_flight") {
      // An answer given without a model may have ended before this response was read.
      if (item.state === "sent") startRun(item.runId);
    } else {
      item.state = "done";
      loadHistory();
    }
  } catch (error) {
    // After a lost connection the same key is sent again: the gateway answers it once only.
    if (error instanceof Lost) return;
    item.state = "sent";
    chat.tail.push({ kind: "error", text: error.message });
  }
  draw();
}

function resendUnanswered() {
  const recorded = new Set(chat.history.slice(-40).filter((it) => it.role === "user").map((it) => plainText(it).trim()));
  for (const item of chat.tail) {
    if (item.kind !== "user" || item.state !== "waiting") continue;
    if (recorded.has(item.text.trim())) item.state = "done";
    else deliver(item);
  }
}

async function stop() {
  try {
    await request("chat.abort", { sessionKey: chat.sessionKey });
  } catch (error) {
    chat.tail.push({ kind: "error", text: `Stopping failed: ${error.message}` });
    draw();
  }
}

/** The visible text of a transcript or event message. */
function plainText(message) {
  const content = message?.content;
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.filter((part) => part?.type === "text" && typeof part.text === "string").map((part) => part.text).join("\n");
}

// ---- drawing --------------------------------------------------------------------------------------------------

const health = { ok: null, version: "", startedAt: 0, sessions: null };
const banner = { text: "" };
let frameWanted = false;
let jumpToEnd = true;

function setState(name, text) {
  const element = $("state");
  element.dataset.state = name;
  if (element.textContent !== text) element.textContent = text;
  $("send").disabled = !link.ready;
  $("new-session").disabled = !link.ready;
  drawHealth();
}

function setHealth(snapshot) {
  if (!snapshot || typeof snapshot.ok !== "boolean") return;
  health.ok = snapshot.ok;
  health.sessions = snapshot.sessions?.count ?? null;
  if (snapshot.configProblem) {
    showBanner(`The configuration file is not in force: ${snapshot.configProblem}`, "config");
  } else if ($("banner").dataset.kind === "config") {
    hideBanner();
  }
  drawHealth();
}

function drawHealth() {
  const put = (id, text) => {
    $(id).textContent = text;
    $(id).hidden = !text || !link.ready;
  };
  put("health-ok", health.ok === null ? "" : health.ok ? "Healthy" : "Unhealthy");
  put("health-version", health.version && `v${health.version}`);
  put("health-uptime", health.startedAt ? `up ${duration(Date.now() - health.startedAt)}` : "");
  put("health-sessions", health.sessions === null ? "" : `${health.sessions} session${health.sessions === 1 ? "" : "s"}`);
}

function duration(ms) {
  const minutes = Math.floor(ms / 60000);
  if (minutes < 1) return `${Math.max(0, Math.floor(ms / 1000))} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function showBanner(text, kind) {
  banner.text = text;
  $("banner").textContent = text;
  $("banner").dataset.kind = kind;
  $("banner").hidden = false;
}

function hideBanner() {
  banner.text = "";
  $("banner").hidden = true;
}

function showUnlock(reason) {
  const password = /password/.test(reason);
  setState("locked", "Locked");
  hideBanner();
  $("unlock-label").textContent = password ? "Gateway password" : "Gateway token";
  const insecure = password && /device identity/.test(reason) ? " A password needs HTTPS or localhost." : "";
  $("unlock-help").textContent = `The gateway says: ${reason}.${insecure}`;
  $("unlock").dataset.kind = password ? "password" : "token";
  $("unlock").hidden = false;
  $("composer").hidden = true;
  $("unlock-input").value = "";
  $("unlock-input").focus();
}

function hideUnlock() {
  if ($("unlock").hidden) return;
  $("unlock").hidden = true;
  $("composer").hidden = false;
  $("input").focus();
}

/** Draws at most once per frame: deltas may come faster than a screen shows them. */
function draw(toEnd = false) {
  jumpToEnd ||= toEnd;
  if (frameWanted) return;
  frameWanted = true;
  // A hidden tab gets no frames; a timer keeps it current.
  if (document.hidden) setTimeout(drawNow, 100);
  else requestAnimationFrame(drawNow);
}

function drawNow() {
  frameWanted = false;
  const scroller = $("scroller");
  const atEnd = jumpToEnd || scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
  jumpToEnd = false;
  const list = $("messages");
  const wanted = [
    ...chat.history.map(historyEntry).filter(Boolean),
    ...chat.tail.map((item) => ({ kind: item.kind, text: item.text, waiting: item.state === "waiting" })),
    ...Array.from(chat.runs.values(), (run) => ({ kind: "assistant", text: run.text, working: true, tool: run.tool })),
  ];
  list.setAttribute("aria-busy", String(chat.runs.size > 0));
  wanted.forEach((entry, index) => {
    const sign = JSON.stringify(entry);
    const there = list.children[index];
    // Unchanged entries keep their element, and with it the reader's selection and opened details.
    if (there?.sign === sign) return;
    const made = entryElement(entry);
    made.sign = sign;
    if (there) there.replaceWith(made);
    else list.append(made);
  });
  while (list.children.length > wanted.length) list.lastChild.remove();
  $("stop").hidden = chat.runs.size === 0;
  if (atEnd) scroller.scrollTop = scroller.scrollHeight;
}

function historyEntry(message) {
  if (message?.role === "user") return { kind: "user", text: plainText(message) };
  if (message?.role === "toolResult") {
    return { kind: "tool", title: `Result of ${message.toolName ?? "tool"}${message.isError ? " (failed)" : ""}`, text: plainText(message) };
  }
  if (message?.role !== "assistant") return null;
  const calls = Array.isArray(message.content) ? message.content.filter((part) => part?.type === "toolCall") : [];
  const text = plainText(message);
  if (!text.trim() && !calls.length) return message.errorMessage ? { kind: "error", text: String(message.errorMessage) } : null;
  const entry = { kind: "assistant", text };
  if (calls.length) entry.calls = calls.map((call) => ({ name: String(call.name), text: JSON.stringify(call.arguments ?? {}, null, 2) }));
  return entry;
}

function entryElement(entry) {
  const item = document.createElement("li");
  item.className = entry.kind;
  item.dataset.testid = `message-${entry.kind}`;
  if (entry.kind === "error") item.setAttribute("role", "alert");
  if (entry.waiting) item.classList.add("waiting");
  if (entry.kind === "tool") {
    item.append(details(entry.title, entry.text));
    return item;
  }
  if (entry.text?.trim()) appendFormatted(item, entry.text);
  for (const call of entry.calls ?? []) item.append(details(`Used ${call.name}`, call.text));
  if (entry.working) {
    item.dataset.streaming = "true";
    if (entry.tool || !entry.text) {
      item.classList.add("working");
      item.append(element("p", entry.tool ? `Using ${entry.tool}…` : "…"));
    }
  }
  return item;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function details(title, text) {
  const made = document.createElement("details");
  made.append(element("summary", title), element("pre", text));
  return made;
}

/** Fenced code and paragraphs; everything else is shown as it was written. */
function appendFormatted(parent, text) {
  let code = null;
  let prose = [];
  const flush = () => {
    for (const paragraph of prose.join("\n").split(/\n\s*\n/)) {
      if (paragraph.trim()) parent.append(element("p", paragraph.replace(/^\n+|\s+$/g, "")));
    }
    prose = [];
  };
  for (const line of text.split("\n")) {
    const fence = /^\s*```/.test(line);
    if (fence && code === null) {
      flush();
      code = [];
    } else if (fence) {
      parent.append(element("pre", code.join("\n")));
      code = null;
    } else {
      (code ?? prose).push(line);
    }
  }
  // A fence still open is one still being streamed.
  if (code !== null) parent.append(element("pre", code.join("\n")));
  flush();
}

function drawAssistant() {
  const name = String(window.__CLAWDBOT_ASSISTANT_NAME__ || "Assistant");
  const avatar = String(window.__CLAWDBOT_ASSISTANT_AVATAR__ || "");
  $("assistant-name").textContent = name;
  document.title = name;
  const local = avatar.startsWith("data:image/") || (avatar.startsWith("/") && !avatar.startsWith("//"));
  if (local) {
    const image = document.createElement("img");
    image.alt = "";
    image.onerror = () => image.replaceWith(name.slice(0, 1));
    image.src = avatar;
    $("avatar").append(image);
  } else {
    // A picture on another host would tell that host who chats here.
    $("avatar").textContent = avatar && avatar.length <= 8 && !/[:/]/.test(avatar) ? avatar : name.slice(0, 1);
  }
}

// ---- wiring ---------------------------------------------------------------------------------------------------

const input = $("input");

function fitInput() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight + 2}px`;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (send(input.value)) {
    input.value = "";
    fitInput();
  }
  input.focus();
});

input.addEventListener("input", fitInput);
input.addEventListener("keydown", (event) => {
  // keyCode 229: Safari ends an input-method composition with an Enter that is not marked as composing.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  $("composer").requestSubmit();
});

$("stop").addEventListener("click", () => {
  stop();
  input.focus();
});

$("new-session").addEventListener("click", () => {
  send("/new");
  input.focus();
});

$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = $("unlock-input").value.trim();
  if (!value) return;
  if ($("unlock").dataset.kind === "password") {
    secrets.password = value;
  } else {
    secrets.token = value;
    saved.set("token", value);
  }
  link.locked = false;
  link.delayMs = BACKOFF_FIRST_MS;
  open();
});

window.addEventListener("online", reconnectNow);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  clock();
  reconnectNow();
});
setInterval(clock, CLOCK_MS);

drawAssistant();
draw();
input.focus();
open();
