// Draws A2UI v0.8: surfaces of components over a data model, as messages describe them, and says what people do with them.
// Everything that comes in is data: texts become text nodes, URLs are judged, nothing is run.
(() => {
  "use strict";
  const query = new URLSearchParams(location.search);
  const root = document.documentElement;
  const platform = query.get("platform");
  root.dataset.platform = ["ios", "android", "macos"].includes(platform)
    ? platform : /Android/i.test(navigator.userAgent) ? "android" : "web";

  // The canvas behind, and the card that tells how things are.
  const canvas = document.getElementById("clawdbot-canvas");
  const ctx = canvas.getContext("2d");
  const fit = () => {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(innerWidth * ratio));
    canvas.height = Math.max(1, Math.round(innerHeight * ratio));
  };
  addEventListener("resize", fit);
  fit();
  const isTrue = (text) => ["1", "true", "yes"].includes(String(text ?? "").trim().toLowerCase());
  let isStatusShown = isTrue(query.get("debugStatus")) || isTrue(query.get("debug"));
  const status = document.getElementById("status");
  const showStatus = () => {
    const has = status.querySelector("b").textContent || status.querySelector("small").textContent;
    status.classList.toggle("shown", isStatusShown && Boolean(has));
  };
  window.__clawdbot = {
    canvas, ctx,
    setStatus(title, subtitle) {
      status.querySelector("b").textContent = title ?? "";
      status.querySelector("small").textContent = subtitle ?? "";
      showStatus();
    },
    setDebugStatusEnabled(isEnabled) {
      isStatusShown = Boolean(isEnabled);
      showStatus();
    },
  };
  const toast = document.getElementById("toast");
  let toastTimer;
  const say = (text, isError, isLasting) => {
    toast.textContent = text;
    toast.classList.toggle("error", Boolean(isError));
    toast.classList.add("shown");
    clearTimeout(toastTimer);
    if (!isLasting) toastTimer = setTimeout(() => toast.classList.remove("shown"), isError ? 5000 : 1500);
  };

  // ── data ────────────────────────────────────────────────────────────────

  const surfaces = new Map();
  const surfaceOf = (id) => {
    const name = typeof id === "string" && id ? id : "main";
    if (!surfaces.has(name)) surfaces.set(name, { id: name, components: new Map(), data: Object.create(null), root: null, styles: {} });
    return surfaces.get(name);
  };
  const isFree = (key) => !["__proto__", "constructor", "prototype"].includes(key);
  const parts = (path) => String(path ?? "").split(/[/.]/).map((part) => part.trim()).filter((part) => part && isFree(part));
  const resolve = (path, scope) => (String(path ?? "").startsWith("/") ? parts(path) : [...scope, ...parts(path)]);
  const read = (surface, path) => path.reduce((value, key) => (value && typeof value === "object" ? value[key] : undefined), surface.data);
  const write = (surface, path, value) => {
    if (!path.length) {
      surface.data = value && typeof value === "object" ? value : Object.create(null);
      return;
    }
    let here = surface.data;
    for (const key of path.slice(0, -1)) {
      if (!here[key] || typeof here[key] !== "object") here[key] = Object.create(null);
      here = here[key];
    }
    here[path.at(-1)] = value;
  };
  const valueOf = (entry) => {
    if ("valueString" in entry) return entry.valueString;
    if ("valueNumber" in entry) return entry.valueNumber;
    if ("valueBoolean" in entry) return entry.valueBoolean;
    const nested = entry.valueMap ?? entry.valueArray;
    if (!Array.isArray(nested)) return entry.value;
    const map = Object.create(null);
    for (const inner of nested) if (isFree(String(inner?.key))) map[inner.key] = valueOf(inner);
    return map;
  };
  const literal = (bound) => {
    for (const key of ["literalString", "literalNumber", "literalBoolean", "literalArray", "literal"]) if (key in bound) return bound[key];
    return undefined;
  };
  // A value is written out, or read from the data model; both together mean that it begins with what is written.
  const get = (surface, bound, scope) => {
    if (bound === null || bound === undefined) return undefined;
    if (typeof bound !== "object") return bound;
    if (typeof bound.path !== "string") return literal(bound);
    const path = resolve(bound.path, scope);
    let value = read(surface, path);
    if (value === undefined && literal(bound) !== undefined) write(surface, path, (value = literal(bound)));
    return value;
  };
  const set = (surface, bound, scope, value) => {
    if (bound && typeof bound.path === "string") write(surface, resolve(bound.path, scope), value);
    else if (bound && typeof bound === "object") bound.literal = value;
  };
  const text = (value) => (value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));
  const url = (value) => {
    try {
      const parsed = new URL(text(value), location.href);
      const isPicture = parsed.protocol === "data:" && /^data:(image|audio|video)\//i.test(parsed.href);
      return ["http:", "https:", "blob:"].includes(parsed.protocol) || isPicture ? parsed.href : "";
    } catch {
      return "";
    }
  };

  // ── actions ─────────────────────────────────────────────────────────────

  let pending = null;
  const newId = () => {
    try {
      return crypto.randomUUID();
    } catch {
      return `${Date.now()}-${Math.random().toString(16).slice(2)}`;
    }
  };
  const act = (surface, componentId, action, scope) => {
    if (!action?.name) return;
    const context = {};
    for (const entry of action.context ?? []) {
      if (entry?.key && isFree(entry.key)) context[entry.key] = get(surface, entry.value, scope);
    }
    const userAction = {
      id: newId(), name: action.name, surfaceId: surface.id || "main", sourceComponentId: componentId,
      timestamp: new Date().toISOString(),
    };
    if (Object.keys(context).length) userAction.context = context;
    window.__clawdbotLastA2UIAction = userAction;
    pending = { id: userAction.id, name: action.name };
    try {
      const apple = window.webkit?.messageHandlers?.clawdbotCanvasA2UIAction;
      const android = window.clawdbotCanvasA2UIAction;
      if (typeof apple?.postMessage === "function") apple.postMessage({ userAction });
      else if (typeof android?.postMessage === "function") android.postMessage(JSON.stringify({ userAction }));
      else throw new Error("missing native bridge");
      say(`${action.name} …`, false, true);
    } catch (error) {
      pending = null;
      say(`Failed: ${error.message}`, true);
    }
  };
  addEventListener("clawdbot:a2ui-action-status", (event) => {
    const { id, ok, error } = event.detail ?? {};
    if (!pending || pending.id !== id) return;
    say(ok ? `Sent: ${pending.name}` : `Failed: ${error || "unknown error"}`, !ok);
    pending = null;
  });

  // ── components ──────────────────────────────────────────────────────────

  const make = (name, className, ...children) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };
  const MAIN = { start: "flex-start", center: "center", end: "flex-end", spaceBetween: "space-between", spaceAround: "space-around", spaceEvenly: "space-evenly" };
  const CROSS = { start: "flex-start", center: "center", end: "flex-end", stretch: "stretch" };
  const ICONS = {
    accountCircle: "👤", add: "＋", arrowBack: "←", arrowForward: "→", attachFile: "📎", calendarToday: "📅", call: "📞", camera: "📷",
    check: "✓", close: "✕", delete: "🗑", download: "⬇", edit: "✎", error: "⚠", event: "📅", favorite: "♥", favoriteOff: "♡", folder: "📁",
    help: "?", home: "⌂", info: "ℹ", locationOn: "📍", lock: "🔒", lockOpen: "🔓", mail: "✉", menu: "☰", moreHoriz: "⋯", moreVert: "⋮",
    notifications: "🔔", notificationsOff: "🔕", payment: "💳", person: "👤", phone: "📞", photo: "🖼", print: "⎙", refresh: "↻", search: "🔍",
    send: "➤", settings: "⚙", share: "⤴", shoppingCart: "🛒", star: "★", starHalf: "⯪", starOff: "☆", upload: "⬆", visibility: "👁",
    visibilityOff: "–", warning: "⚠",
  };
  // How deep components may hold each other: a component that holds itself ends here.
  const DEPTH_MAX = 64;

  const children = (it, list) => {
    if (!list) return [];
    if (Array.isArray(list)) return list.map((id) => it.child(id));
    if (Array.isArray(list.explicitList)) return list.explicitList.map((id) => it.child(id));
    const template = list.template;
    if (!template) return [];
    const path = resolve(template.dataBinding, it.scope);
    const data = read(it.surface, path);
    const keys = data && typeof data === "object" ? Object.keys(data) : [];
    return keys.map((key) => it.child(template.componentId, [...path, key]));
  };
  const box = (className) => (it, props) => {
    const element = make("div", className, ...children(it, props.children));
    if (props.distribution) element.style.justifyContent = MAIN[props.distribution] ?? "";
    if (props.alignment) element.style.alignItems = CROSS[props.alignment] ?? "";
    if (props.direction === "horizontal") element.classList.add("horizontal");
    return element;
  };
  const field = (it, props, input) => make("label", "field", make("span", "", text(it.get(props.label))), input);
  const listen = (it, bound, input, value, event = "input") =>
    input.addEventListener(event, () => {
      it.set(bound, value(input));
      it.changed(input);
    });

  const COMPONENTS = {
    Text(it, props) {
      const hint = ["h1", "h2", "h3", "h4", "h5"].includes(props.usageHint) ? props.usageHint : "p";
      return make(hint, `text ${props.usageHint === "caption" ? "caption" : ""}`, text(it.get(props.text)));
    },
    Image(it, props) {
      const image = make("img", props.usageHint ?? "");
      image.src = url(it.get(props.url));
      image.alt = text(it.get(props.altText));
      if (props.fit) image.style.objectFit = props.fit;
      return image;
    },
    Icon(it, props) {
      const name = text(it.get(props.name));
      const icon = make("span", "icon", ICONS[name] ?? "•");
      icon.title = name;
      return icon;
    },
    Video(it, props) {
      const video = make("video");
      video.controls = true;
      video.src = url(it.get(props.url));
      return video;
    },
    AudioPlayer(it, props) {
      const audio = make("audio");
      audio.controls = true;
      audio.src = url(it.get(props.url));
      return make("div", "column", props.description ? make("p", "caption text", text(it.get(props.description))) : null, audio);
    },
    Row: box("row"),
    Column: box("column"),
    List: box("list"),
    Card: (it, props) => make("div", "card", props.child ? it.child(props.child) : null, ...children(it, props.children)),
    Divider: (_, props) => make("hr", props.axis === "vertical" ? "vertical" : ""),
    Tabs(it, props) {
      const items = props.tabItems ?? [];
      const chosen = Math.min(it.memory.chosen ?? 0, Math.max(0, items.length - 1));
      const buttons = items.map((item, at) => {
        const button = make("button", "", text(it.get(item.title)));
        button.type = "button";
        button.setAttribute("aria-selected", String(at === chosen));
        button.addEventListener("click", () => {
          it.memory.chosen = at;
          draw();
        });
        return button;
      });
      return make("div", "tabs", make("nav", "", ...buttons), items[chosen] ? it.child(items[chosen].child) : null);
    },
    Modal(it, props) {
      const dialog = make("dialog", "", props.contentChild ? it.child(props.contentChild) : null);
      const entry = make("div", "", props.entryPointChild ? it.child(props.entryPointChild) : null);
      entry.addEventListener("click", () => dialog.showModal());
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
      return make("div", "", entry, dialog);
    },
    Button(it, props) {
      const label = props.child ? it.child(props.child) : text(it.get(props.label));
      const button = make("button", props.primary ? "primary" : "", label);
      button.type = "button";
      button.addEventListener("click", () => act(it.surface, it.id, props.action, it.scope));
      return button;
    },
    CheckBox(it, props) {
      const input = make("input");
      input.type = "checkbox";
      input.checked = Boolean(it.get(props.value));
      listen(it, props.value, input, () => input.checked, "change");
      return make("label", "check", input, text(it.get(props.label)));
    },
    TextField(it, props) {
      const kind = props.textFieldType ?? props.type;
      const input = make(kind === "longText" ? "textarea" : "input");
      if (kind !== "longText") input.type = { number: "number", date: "date", obscured: "password" }[kind] ?? "text";
      if (props.validationRegexp && input.tagName === "INPUT") input.pattern = props.validationRegexp;
      input.value = text(it.get(props.text));
      listen(it, props.text, input, () => input.value);
      return field(it, props, input);
    },
    DateTimeInput(it, props) {
      const input = make("input");
      const [hasDate, hasTime] = [props.enableDate !== false, Boolean(props.enableTime)];
      input.type = hasDate && hasTime ? "datetime-local" : hasTime ? "time" : "date";
      input.value = text(it.get(props.value));
      listen(it, props.value, input, () => input.value);
      return field(it, props, input);
    },
    Slider(it, props) {
      const input = make("input");
      input.type = "range";
      input.min = props.minValue ?? 0;
      input.max = props.maxValue ?? 100;
      input.step = "any";
      input.value = text(it.get(props.value) ?? input.min);
      listen(it, props.value, input, () => Number(input.value));
      return field(it, props, input);
    },
    MultipleChoice(it, props) {
      const most = props.maxAllowedSelections ?? Infinity;
      const given = it.get(props.selections);
      const chosen = new Set(Array.isArray(given) ? given : given && typeof given === "object" ? Object.values(given) : given ? [given] : []);
      const name = newId();
      const options = (props.options ?? []).map((option) => {
        const input = make("input");
        input.type = most === 1 ? "radio" : "checkbox";
        input.name = name;
        input.checked = chosen.has(option.value);
        input.addEventListener("change", () => {
          if (most === 1) chosen.clear();
          if (input.checked && chosen.size < most) chosen.add(option.value);
          else chosen.delete(option.value);
          input.checked = chosen.has(option.value);
          it.set(props.selections, [...chosen]);
          it.changed(input);
        });
        return make("label", "check", input, text(it.get(option.label)));
      });
      return make("div", "column", props.label ? make("span", "caption", text(it.get(props.label))) : null, ...options);
    },
  };

  // What a component keeps while it is drawn anew (the chosen tab), by surface and place.
  const memories = new Map();
  const component = (surface, id, scope, depth) => {
    const found = surface.components.get(id);
    if (!found || depth > DEPTH_MAX) return null;
    const [kind, props] = Object.entries(found.component ?? {})[0] ?? [];
    const drawer = Object.hasOwn(COMPONENTS, kind ?? "") ? COMPONENTS[kind] : null;
    const place = `${surface.id} ${scope.join("/")} ${id}`;
    if (!memories.has(place)) memories.set(place, {});
    const it = {
      surface, id, scope, memory: memories.get(place),
      get: (bound) => get(surface, bound, scope),
      set: (bound, value) => set(surface, bound, scope, value),
      child: (child, inner) => component(surface, child, inner ?? scope, depth + 1),
      // Others may show the same value; the field that is being filled in stays as it is.
      changed: (input) => draw(input),
    };
    const element = drawer ? drawer(it, props ?? {}) : make("p", "caption text", `Unknown component: ${kind}`);
    element.dataset.component = id;
    if (found.weight !== undefined) element.style.flex = `${Number(found.weight) || 0} 1 0`;
    return element;
  };

  class Host extends HTMLElement {
    connectedCallback() {
      draw();
    }
  }
  let isDue = false;
  const draw = (held) => {
    // A field that somebody types into is not taken away under the fingers; everything else follows when it is left.
    if (held && ["INPUT", "TEXTAREA"].includes(held.tagName) && !["checkbox", "radio"].includes(held.type)) {
      if (!isDue) {
        isDue = true;
        held.addEventListener("blur", () => { isDue = false; setTimeout(draw); }, { once: true });
      }
      return;
    }
    const host = document.querySelector("clawdbot-a2ui-host");
    if (!host) return;
    const shown = [...surfaces.values()].filter((surface) => surface.root);
    host.replaceChildren(...shown.map((surface) => {
      const section = make("section", "surface", component(surface, surface.root, [], 0));
      section.dataset.surface = surface.id;
      const { primaryColor, font } = surface.styles;
      if (/^#[0-9a-f]{3,8}$/i.test(primaryColor ?? "")) section.style.setProperty("--accent", primaryColor);
      if (/^[\w ,'-]+$/.test(font ?? "")) section.style.fontFamily = font;
      return section;
    }));
    if (!shown.length) host.append(make("p", "empty", "Nothing to show yet."));
  };

  // ── messages ────────────────────────────────────────────────────────────

  const apply = (message) => {
    const { surfaceUpdate, dataModelUpdate, beginRendering, deleteSurface } = message ?? {};
    if (surfaceUpdate) {
      const surface = surfaceOf(surfaceUpdate.surfaceId);
      for (const entry of surfaceUpdate.components ?? []) if (entry?.id) surface.components.set(entry.id, entry);
    }
    if (dataModelUpdate) {
      const surface = surfaceOf(dataModelUpdate.surfaceId);
      const base = parts(dataModelUpdate.path);
      const contents = dataModelUpdate.contents;
      if (Array.isArray(contents)) {
        if (base.length && !read(surface, base)) write(surface, base, Object.create(null));
        for (const entry of contents) if (entry?.key !== undefined && isFree(String(entry.key))) write(surface, [...base, String(entry.key)], valueOf(entry));
      } else if (contents && typeof contents === "object") {
        write(surface, base, contents);
      }
    }
    if (beginRendering) {
      const surface = surfaceOf(beginRendering.surfaceId);
      surface.root = beginRendering.root ?? "root";
      surface.styles = beginRendering.styles ?? {};
    }
    if (deleteSurface) surfaces.delete(deleteSurface.surfaceId || "main");
    if (message?.createSurface) throw new Error("A2UI v0.9 messages are not supported; use v0.8");
  };
  const ids = () => [...surfaces.keys()];
  window.clawdbotA2UI = {
    applyMessages(messages) {
      if (!Array.isArray(messages)) throw new Error("applyMessages takes an array of messages");
      messages.forEach(apply);
      draw();
      return { ok: true, surfaces: ids() };
    },
    reset() {
      surfaces.clear();
      memories.clear();
      draw();
      return { ok: true };
    },
    getSurfaces: ids,
  };
  customElements.define("clawdbot-a2ui-host", Host);
})();
