// A client as somebody would write it over the models. It has to compile.
import {
  PROTOCOL_VERSION,
  type ChatEvent,
  type EventName,
  type EventOf,
  type GatewayFrame,
  type HelloOk,
  type MethodName,
  type Methods,
  type RequestOf,
} from "../../schemas/clawdbot-protocol.js";

declare function send(text: string): void;

const waiting = new Map<string, (payload: unknown) => void>();

function request<M extends MethodName>(method: M, params: Methods[M]["params"]): Promise<Methods[M]["result"]> {
  const frame: RequestOf<M> = { type: "req", id: String(waiting.size), method, params };
  send(JSON.stringify(frame));
  return new Promise((resolve) => waiting.set(frame.id, resolve));
}

function isEvent<E extends EventName>(frame: GatewayFrame, event: E): frame is EventOf<E> & GatewayFrame {
  return frame.type === "event" && frame.event === event;
}

export function receive(text: string): string {
  const frame: GatewayFrame = JSON.parse(text);
  switch (frame.type) {
    case "res":
      if (frame.ok) waiting.get(frame.id)?.(frame.payload);
      return frame.error?.message ?? "";
    case "event":
      if (isEvent(frame, "chat")) return ended(frame.payload);
      return `${frame.seq ?? 0}/${frame.stateVersion?.presence ?? 0}`;
    case "req":
      return frame.method;
  }
}

function ended(chat: ChatEvent): string {
  return chat.state === "error" ? (chat.errorMessage ?? "failed") : chat.state;
}

export async function start(token: string): Promise<number> {
  const hello: HelloOk = await request("connect", {
    minProtocol: PROTOCOL_VERSION,
    maxProtocol: PROTOCOL_VERSION,
    client: { id: "test", version: "1", platform: "any", mode: "test" },
    auth: { token },
  });
  const here: string[] = hello.snapshot.presence.map((entry) => entry.host ?? "somebody");
  const { models } = await request("models.list", {});
  await request("chat.send", { sessionKey: "main", message: "hello", idempotencyKey: here.join() });
  return models.filter((model) => model.reasoning === true).length + hello.policy.tickIntervalMs;
}
