// Mistakes that the models have to catch: every line that says so must be refused, and no other.
import type { ChatEvent, ChatSendParams, ConnectParams, GatewayFrame, Methods } from "../../schemas/clawdbot-protocol.js";

export const noKey: ChatSendParams = { sessionKey: "main", message: "hello" }; // mistake
export const moreThanThat: ChatSendParams = { sessionKey: "s", message: "m", idempotencyKey: "k", mesage: "" }; // mistake
export const mode: ConnectParams["client"]["mode"] = "desktop"; // mistake
export const state: ChatEvent["state"] = "done"; // mistake
export const method: keyof Methods = "chat.sent"; // mistake
export const listed: Methods["models.list"]["params"] = { limit: 1 }; // mistake

export function payload(frame: GatewayFrame): unknown {
  return frame.payload; // mistake
}

export function length(event: ChatEvent): number {
  return event.errorMessage.length; // mistake
}
