// Models of the gateway's WebSocket protocol for TypeScript clients, made from schemas/ by scripts/schema-gen.sh.
// Fields with `?` may be absent; a field that may be `null` says so. Do not edit.

export const PROTOCOL_VERSION = 3;

export interface RequestFrame {
  type: "req";
  id: string;
  method: string;
  params?: unknown;
}

export interface ErrorShape {
  code: string;
  message: string;
  details?: unknown;
  retryable?: boolean;
  retryAfterMs?: number;
}

export interface ResponseFrame {
  type: "res";
  id: string;
  ok: boolean;
  payload?: unknown;
  error?: ErrorShape;
}

export interface StateVersion {
  presence: number;
  health: number;
}

export interface EventFrame {
  type: "event";
  event: string;
  payload?: unknown;
  seq?: number;
  stateVersion?: StateVersion;
}

export type GatewayFrame = RequestFrame | ResponseFrame | EventFrame;

export interface HelloOkServer {
  version: string;
  commit?: string;
  host?: string;
  connId: string;
}

export interface HelloOkFeatures {
  methods: string[];
  events: string[];
}

export interface PresenceEntry {
  host?: string;
  ip?: string;
  version?: string;
  platform?: string;
  deviceFamily?: string;
  modelIdentifier?: string;
  mode?: string;
  lastInputSeconds?: number;
  reason?: string;
  tags?: string[];
  text?: string;
  ts: number;
  deviceId?: string;
  roles?: string[];
  scopes?: string[];
  instanceId?: string;
}

export interface SnapshotSessionDefaults {
  defaultAgentId: string;
  mainKey: string;
  mainSessionKey: string;
  scope?: string;
}

export interface Snapshot {
  presence: PresenceEntry[];
  health: unknown;
  stateVersion: StateVersion;
  uptimeMs: number;
  configPath?: string;
  stateDir?: string;
  sessionDefaults?: SnapshotSessionDefaults;
}

export interface HelloOkAuth {
  deviceToken: string;
  role: string;
  scopes: string[];
  issuedAtMs?: number;
}

export interface HelloOkPolicy {
  maxPayload: number;
  maxBufferedBytes: number;
  tickIntervalMs: number;
}

export interface HelloOk {
  type: "hello-ok";
  protocol: number;
  server: HelloOkServer;
  features: HelloOkFeatures;
  snapshot: Snapshot;
  canvasHostUrl?: string;
  auth?: HelloOkAuth;
  policy: HelloOkPolicy;
}

export interface TickEvent {
  ts: number;
}

export interface ShutdownEvent {
  reason: string;
  restartExpectedMs?: number;
}

export interface AgentEvent {
  runId: string;
  seq: number;
  stream: string;
  ts: number;
  data: { [key: string]: unknown };
}

export type ChatEventState = "delta" | "final" | "aborted" | "error";

export interface ChatEvent {
  runId: string;
  sessionKey: string;
  seq: number;
  state: ChatEventState;
  message?: unknown;
  errorMessage?: string;
  usage?: unknown;
  stopReason?: string;
}

export interface NodeInvokeRequestEvent {
  id: string;
  nodeId: string;
  command: string;
  paramsJSON?: string;
  timeoutMs?: number;
  idempotencyKey?: string;
}

export interface DevicePairRequestedEvent {
  requestId: string;
  deviceId: string;
  publicKey: string;
  displayName?: string;
  platform?: string;
  clientId?: string;
  clientMode?: string;
  role?: string;
  roles?: string[];
  scopes?: string[];
  remoteIp?: string;
  silent?: boolean;
  isRepair?: boolean;
  ts: number;
}

export interface DevicePairResolvedEvent {
  requestId: string;
  deviceId: string;
  decision: string;
  ts: number;
}

export interface AgentIdentityResult {
  agentId: string;
  name?: string;
  avatar?: string;
}

export interface AgentSummaryIdentity {
  name?: string;
  theme?: string;
  emoji?: string;
  avatar?: string;
  avatarUrl?: string;
}

export interface AgentSummary {
  id: string;
  name?: string;
  identity?: AgentSummaryIdentity;
}

export type AgentsListResultScope = "per-sender" | "global";

export interface AgentsListResult {
  defaultId: string;
  mainKey: string;
  scope: AgentsListResultScope;
  agents: AgentSummary[];
}

export interface ModelChoice {
  id: string;
  name: string;
  provider: string;
  contextWindow?: number;
  reasoning?: boolean;
}

export interface ModelsListResult {
  models: ModelChoice[];
}

export interface LogsTailResult {
  file: string;
  cursor: number;
  size: number;
  lines: string[];
  truncated?: boolean;
  reset?: boolean;
}

export interface SkillsBinsResult {
  bins: string[];
}

export interface ConfigSchemaResponseUiHint {
  label?: string;
  help?: string;
  group?: string;
  order?: number;
  advanced?: boolean;
  sensitive?: boolean;
  placeholder?: string;
  itemTemplate?: unknown;
}

export interface ConfigSchemaResponse {
  schema: unknown;
  uiHints: { [key: string]: ConfigSchemaResponseUiHint };
  version: string;
  generatedAt: string;
}

export interface ChannelsStatusResultChannelMeta {
  id: string;
  label: string;
  detailLabel: string;
  systemImage?: string;
}

export interface ChannelsStatusResultChannelAccount {
  accountId: string;
  name?: string;
  enabled?: boolean;
  configured?: boolean;
  linked?: boolean;
  running?: boolean;
  connected?: boolean;
  reconnectAttempts?: number;
  lastConnectedAt?: number;
  lastError?: string;
  lastStartAt?: number;
  lastStopAt?: number;
  lastInboundAt?: number;
  lastOutboundAt?: number;
  lastProbeAt?: number;
  mode?: string;
  dmPolicy?: string;
  allowFrom?: string[];
  tokenSource?: string;
  botTokenSource?: string;
  appTokenSource?: string;
  baseUrl?: string;
  allowUnmentionedGroups?: boolean;
  cliPath?: string | null;
  dbPath?: string | null;
  port?: number | null;
  probe?: unknown;
  audit?: unknown;
  application?: unknown;
  [key: string]: unknown;
}

export interface ChannelsStatusResult {
  ts: number;
  channelOrder: string[];
  channelLabels: { [key: string]: string };
  channelDetailLabels?: { [key: string]: string };
  channelSystemImages?: { [key: string]: string };
  channelMeta?: ChannelsStatusResultChannelMeta[];
  channels: { [key: string]: unknown };
  channelAccounts: { [key: string]: ChannelsStatusResultChannelAccount[] };
  channelDefaultAccountId: { [key: string]: string };
}

export type WizardStepType = "note" | "select" | "text" | "confirm" | "multiselect" | "progress" | "action";

export interface WizardStepOption {
  value: unknown;
  label: string;
  hint?: string;
}

export type WizardStepExecutor = "gateway" | "client";

export interface WizardStep {
  id: string;
  type: WizardStepType;
  title?: string;
  message?: string;
  options?: WizardStepOption[];
  initialValue?: unknown;
  placeholder?: string;
  sensitive?: boolean;
  executor?: WizardStepExecutor;
}

export type WizardStartResultStatus = "running" | "done" | "cancelled" | "error";

export interface WizardStartResult {
  sessionId: string;
  done: boolean;
  step?: WizardStep;
  status?: WizardStartResultStatus;
  error?: string;
}

export interface WizardNextResult {
  done: boolean;
  step?: WizardStep;
  status?: WizardStartResultStatus;
  error?: string;
}

export interface WizardStatusResult {
  status: WizardStartResultStatus;
  error?: string;
}

export type ConnectParamsClientId =
  | "webchat-ui"
  | "clawdbot-control-ui"
  | "webchat"
  | "cli"
  | "gateway-client"
  | "clawdbot-macos"
  | "clawdbot-ios"
  | "clawdbot-android"
  | "node-host"
  | "test"
  | "fingerprint"
  | "clawdbot-probe";

export type ConnectParamsClientMode = "webchat" | "cli" | "ui" | "backend" | "node" | "probe" | "test";

export interface ConnectParamsClient {
  id: ConnectParamsClientId;
  displayName?: string;
  version: string;
  platform: string;
  deviceFamily?: string;
  modelIdentifier?: string;
  mode: ConnectParamsClientMode;
  instanceId?: string;
}

export interface ConnectParamsDevice {
  id: string;
  publicKey: string;
  signature: string;
  signedAt: number;
  nonce?: string;
}

export interface ConnectParamsAuth {
  token?: string;
  password?: string;
}

export interface ConnectParams {
  minProtocol: number;
  maxProtocol: number;
  client: ConnectParamsClient;
  caps?: string[];
  commands?: string[];
  permissions?: { [key: string]: boolean };
  pathEnv?: string;
  role?: string;
  scopes?: string[];
  device?: ConnectParamsDevice;
  auth?: ConnectParamsAuth;
  locale?: string;
  userAgent?: string;
}

export interface AgentParams {
  message: string;
  agentId?: string;
  to?: string;
  replyTo?: string;
  sessionId?: string;
  sessionKey?: string;
  thinking?: string;
  deliver?: boolean;
  attachments?: unknown[];
  channel?: string;
  replyChannel?: string;
  accountId?: string;
  replyAccountId?: string;
  threadId?: string;
  groupId?: string;
  groupChannel?: string;
  groupSpace?: string;
  timeout?: number;
  lane?: string;
  extraSystemPrompt?: string;
  idempotencyKey: string;
  label?: string;
  spawnedBy?: string;
}

export interface AgentWaitParams {
  runId: string;
  timeoutMs?: number;
}

export interface AgentIdentityParams {
  agentId?: string;
  sessionKey?: string;
}

export type AgentsListParams = { [key: string]: never };

export type ModelsListParams = { [key: string]: never };

export interface ChatHistoryParams {
  sessionKey: string;
  limit?: number;
}

export interface ChatSendParams {
  sessionKey: string;
  message: string;
  thinking?: string;
  deliver?: boolean;
  attachments?: unknown[];
  timeoutMs?: number;
  idempotencyKey: string;
}

export interface ChatAbortParams {
  sessionKey: string;
  runId?: string;
}

export interface ChatInjectParams {
  sessionKey: string;
  message: string;
  label?: string;
}

export type ConfigGetParams = { [key: string]: never };

export type NodeListParams = { [key: string]: never };

export interface NodeDescribeParams {
  nodeId: string;
}

export interface NodeInvokeParams {
  nodeId: string;
  command: string;
  params?: unknown;
  timeoutMs?: number;
  idempotencyKey: string;
}

export interface NodeInvokeResultParamsError {
  code?: string;
  message?: string;
}

export interface NodeInvokeResultParams {
  id: string;
  nodeId: string;
  ok: boolean;
  payload?: unknown;
  payloadJSON?: string;
  error?: NodeInvokeResultParamsError;
}

export interface NodeEventParams {
  event: string;
  payload?: unknown;
  payloadJSON?: string;
}

export interface SessionsListParams {
  limit?: number;
  activeMinutes?: number;
  includeGlobal?: boolean;
  includeUnknown?: boolean;
  includeDerivedTitles?: boolean;
  includeLastMessage?: boolean;
  label?: string;
  spawnedBy?: string;
  agentId?: string;
  search?: string;
}

export interface SessionsPreviewParams {
  keys: string[];
  limit?: number;
  maxChars?: number;
}

export interface SessionsResetParams {
  key: string;
}

export interface LogsTailParams {
  cursor?: number;
  limit?: number;
  maxBytes?: number;
}

/** What each method takes and answers. */
export interface Methods {
  "connect": { params: ConnectParams; result: HelloOk };
  "health": { params: { [key: string]: unknown }; result: unknown };
  "logs.tail": { params: LogsTailParams; result: LogsTailResult };
  "status": { params: { [key: string]: unknown }; result: unknown };
  "config.get": { params: ConfigGetParams; result: unknown };
  "models.list": { params: ModelsListParams; result: ModelsListResult };
  "agents.list": { params: AgentsListParams; result: AgentsListResult };
  "sessions.list": { params: SessionsListParams; result: unknown };
  "sessions.preview": { params: SessionsPreviewParams; result: unknown };
  "sessions.reset": { params: SessionsResetParams; result: unknown };
  "last-heartbeat": { params: { [key: string]: unknown }; result: unknown };
  "node.list": { params: NodeListParams; result: unknown };
  "node.describe": { params: NodeDescribeParams; result: unknown };
  "node.invoke": { params: NodeInvokeParams; result: unknown };
  "node.invoke.result": { params: NodeInvokeResultParams; result: unknown };
  "node.event": { params: NodeEventParams; result: unknown };
  "system-presence": { params: { [key: string]: unknown }; result: unknown };
  "system-event": { params: { [key: string]: unknown }; result: unknown };
  "agent": { params: AgentParams; result: unknown };
  "agent.identity.get": { params: AgentIdentityParams; result: AgentIdentityResult };
  "agent.wait": { params: AgentWaitParams; result: unknown };
  "chat.history": { params: ChatHistoryParams; result: unknown };
  "chat.abort": { params: ChatAbortParams; result: unknown };
  "chat.send": { params: ChatSendParams; result: unknown };
  "chat.inject": { params: ChatInjectParams; result: unknown };
}

/** What each event carries. */
export interface Events {
  "connect.challenge": unknown;
  "agent": AgentEvent;
  "chat": ChatEvent;
  "presence": unknown;
  "tick": TickEvent;
  "talk.mode": unknown;
  "shutdown": ShutdownEvent;
  "health": unknown;
  "heartbeat": unknown;
  "cron": unknown;
  "node.pair.requested": unknown;
  "node.pair.resolved": unknown;
  "node.invoke.request": NodeInvokeRequestEvent;
  "device.pair.requested": DevicePairRequestedEvent;
  "device.pair.resolved": DevicePairResolvedEvent;
  "voicewake.changed": unknown;
  "exec.approval.requested": unknown;
  "exec.approval.resolved": unknown;
}

/** Name of a method. */
export type MethodName = keyof Methods;

/** Name of an event. */
export type EventName = keyof Events;

/** A request of one method. */
export type RequestOf<M extends MethodName> = Omit<RequestFrame, "method" | "params"> & {
  method: M;
  params: Methods[M]["params"];
};

/** One kind of event. */
export type EventOf<E extends EventName> = Omit<EventFrame, "event" | "payload"> & {
  event: E;
  payload: Events[E];
};
