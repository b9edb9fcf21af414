// Models of the gateway's WebSocket protocol for TypeScript clients, made from schemas/ by scripts/schema-gen.sh.
// Fields with `?` may be absent, and null where a gateway has nothing to tell. Do not edit.

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

export type CronRunLogEntryStatus = "ok" | "error" | "skipped";

export interface CronRunLogEntry {
  ts: number;
  jobId: string;
  action: "finished";
  status?: CronRunLogEntryStatus;
  error?: string;
  summary?: string;
  runAtMs?: number;
  durationMs?: number;
  nextRunAtMs?: number;
}

export interface ExecApprovalsSnapshotFileSocket {
  path?: string;
  token?: string;
}

export interface ExecApprovalsSnapshotFileDefaults {
  security?: string;
  ask?: string;
  askFallback?: string;
  autoAllowSkills?: boolean;
}

export interface ExecApprovalsSnapshotFileAgentAllowlist {
  id?: string;
  pattern: string;
  lastUsedAt?: number;
  lastUsedCommand?: string;
  lastResolvedPath?: string;
}

export interface ExecApprovalsSnapshotFileAgent {
  security?: string;
  ask?: string;
  askFallback?: string;
  autoAllowSkills?: boolean;
  allowlist?: ExecApprovalsSnapshotFileAgentAllowlist[];
}

export interface ExecApprovalsSnapshotFile {
  version: 1;
  socket?: ExecApprovalsSnapshotFileSocket;
  defaults?: ExecApprovalsSnapshotFileDefaults;
  agents?: { [key: string]: ExecApprovalsSnapshotFileAgent };
}

export interface ExecApprovalsSnapshot {
  path: string;
  exists: boolean;
  hash: string;
  file: ExecApprovalsSnapshotFile;
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

export type ExecApprovalsGetParams = { [key: string]: never };

export interface ExecApprovalsSetParams {
  file: ExecApprovalsSnapshotFile;
  baseHash?: string;
}

export interface ExecApprovalsNodeGetParams {
  nodeId: string;
}

export interface ExecApprovalsNodeSetParams {
  nodeId: string;
  file: ExecApprovalsSnapshotFile;
  baseHash?: string;
}

export interface ExecApprovalRequestParams {
  id?: string;
  command: string;
  cwd?: string | null;
  host?: string | null;
  security?: string | null;
  ask?: string | null;
  agentId?: string | null;
  resolvedPath?: string | null;
  sessionKey?: string | null;
  timeoutMs?: number;
}

export interface ExecApprovalResolveParams {
  id: string;
  decision: string;
}

export interface BrowserRequestParams {
  method: string;
  path: string;
  query?: unknown;
  body?: unknown;
  timeoutMs?: number;
}

export interface ChannelsStatusParams {
  probe?: boolean;
  timeoutMs?: number;
}

export interface ChannelsLogoutParams {
  channel: string;
  accountId?: string;
}

export interface SendParams {
  to: string;
  message: string;
  mediaUrl?: string;
  mediaUrls?: string[];
  gifPlayback?: boolean;
  channel?: string;
  accountId?: string;
  sessionKey?: string;
  idempotencyKey: string;
}

export interface PollParams {
  to: string;
  question: string;
  options: string[];
  maxSelections?: number;
  durationHours?: number;
  channel?: string;
  accountId?: string;
  idempotencyKey: string;
}

export interface WebLoginStartParams {
  force?: boolean;
  timeoutMs?: number;
  verbose?: boolean;
  accountId?: string;
}

export interface WebLoginWaitParams {
  timeoutMs?: number;
  accountId?: string;
}

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

export type ConfigSchemaParams = { [key: string]: never };

export interface ConfigSetParams {
  raw: string;
  baseHash?: string;
}

export interface ConfigApplyParams {
  raw: string;
  baseHash?: string;
  sessionKey?: string;
  note?: string;
  restartDelayMs?: number;
}

export interface ConfigPatchParams {
  raw: string;
  baseHash?: string;
  sessionKey?: string;
  note?: string;
  restartDelayMs?: number;
}

export interface UpdateRunParams {
  sessionKey?: string;
  note?: string;
  restartDelayMs?: number;
  timeoutMs?: number;
}

export interface CronJobScheduleAt {
  kind: "at";
  atMs: number;
}

export interface CronJobScheduleEvery {
  kind: "every";
  everyMs: number;
  anchorMs?: number;
}

export interface CronJobScheduleCron {
  kind: "cron";
  expr: string;
  tz?: string;
}

export type CronJobSchedule = CronJobScheduleAt | CronJobScheduleEvery | CronJobScheduleCron;

export type CronJobSessionTarget = "main" | "isolated";

export type CronJobWakeMode = "next-heartbeat" | "now";

export interface CronJobPayloadSystemEvent {
  kind: "systemEvent";
  text: string;
}

export interface CronJobPayloadAgentTurn {
  kind: "agentTurn";
  message: string;
  model?: string;
  thinking?: string;
  timeoutSeconds?: number;
  deliver?: boolean;
  channel?: string;
  to?: string;
  bestEffortDeliver?: boolean;
}

export type CronJobPayload = CronJobPayloadSystemEvent | CronJobPayloadAgentTurn;

export type CronJobIsolationPostToMainMode = "summary" | "full";

export interface CronJobIsolation {
  postToMainPrefix?: string;
  postToMainMode?: CronJobIsolationPostToMainMode;
  postToMainMaxChars?: number;
}

export interface CronJobState {
  nextRunAtMs?: number;
  runningAtMs?: number;
  lastRunAtMs?: number;
  lastStatus?: CronRunLogEntryStatus;
  lastError?: string;
  lastDurationMs?: number;
}

export interface CronJob {
  id: string;
  agentId?: string;
  name: string;
  description?: string;
  enabled: boolean;
  deleteAfterRun?: boolean;
  createdAtMs: number;
  updatedAtMs: number;
  schedule: CronJobSchedule;
  sessionTarget: CronJobSessionTarget;
  wakeMode: CronJobWakeMode;
  payload: CronJobPayload;
  isolation?: CronJobIsolation;
  state: CronJobState;
}

export interface CronListParams {
  includeDisabled?: boolean;
}

export type CronStatusParams = { [key: string]: never };

export interface CronAddParams {
  name: string;
  agentId?: string | null;
  description?: string;
  enabled?: boolean;
  deleteAfterRun?: boolean;
  schedule: CronJobSchedule;
  sessionTarget: CronJobSessionTarget;
  wakeMode: CronJobWakeMode;
  payload: CronJobPayload;
  isolation?: CronJobIsolation;
}

export interface CronUpdateParamsIdPatchPayloadSystemEvent {
  kind: "systemEvent";
  text?: string;
}

export interface CronUpdateParamsIdPatchPayloadAgentTurn {
  kind: "agentTurn";
  message?: string;
  model?: string;
  thinking?: string;
  timeoutSeconds?: number;
  deliver?: boolean;
  channel?: string;
  to?: string;
  bestEffortDeliver?: boolean;
}

export type CronUpdateParamsIdPatchPayload =
  | CronUpdateParamsIdPatchPayloadSystemEvent
  | CronUpdateParamsIdPatchPayloadAgentTurn;

export interface CronUpdateParamsIdPatch {
  name?: string;
  agentId?: string | null;
  description?: string;
  enabled?: boolean;
  deleteAfterRun?: boolean;
  schedule?: CronJobSchedule;
  sessionTarget?: CronJobSessionTarget;
  wakeMode?: CronJobWakeMode;
  payload?: CronUpdateParamsIdPatchPayload;
  isolation?: CronJobIsolation;
  state?: CronJobState;
}

export interface CronUpdateParamsId {
  id: string;
  patch: CronUpdateParamsIdPatch;
}

export interface CronUpdateParamsJobId {
  jobId: string;
  patch: CronUpdateParamsIdPatch;
}

export type CronUpdateParams = CronUpdateParamsId | CronUpdateParamsJobId;

export interface CronRemoveParamsId {
  id: string;
}

export interface CronRemoveParamsJobId {
  jobId: string;
}

export type CronRemoveParams = CronRemoveParamsId | CronRemoveParamsJobId;

export type CronRunParamsIdMode = "due" | "force";

export interface CronRunParamsId {
  id: string;
  mode?: CronRunParamsIdMode;
}

export interface CronRunParamsJobId {
  jobId: string;
  mode?: CronRunParamsIdMode;
}

export type CronRunParams = CronRunParamsId | CronRunParamsJobId;

export interface CronRunsParamsId {
  id: string;
  limit?: number;
}

export interface CronRunsParamsJobId {
  jobId: string;
  limit?: number;
}

export type CronRunsParams = CronRunsParamsId | CronRunsParamsJobId;

export type DevicePairListParams = { [key: string]: never };

export interface DevicePairApproveParams {
  requestId: string;
}

export interface DevicePairRejectParams {
  requestId: string;
}

export interface DeviceTokenRotateParams {
  deviceId: string;
  role: string;
  scopes?: string[];
}

export interface DeviceTokenRevokeParams {
  deviceId: string;
  role: string;
}

export interface NodePairRequestParams {
  nodeId: string;
  displayName?: string;
  platform?: string;
  version?: string;
  coreVersion?: string;
  uiVersion?: string;
  deviceFamily?: string;
  modelIdentifier?: string;
  caps?: string[];
  commands?: string[];
  remoteIp?: string;
  silent?: boolean;
}

export type NodePairListParams = { [key: string]: never };

export interface NodePairApproveParams {
  requestId: string;
}

export interface NodePairRejectParams {
  requestId: string;
}

export interface NodePairVerifyParams {
  nodeId: string;
  token: string;
}

export interface NodeRenameParams {
  nodeId: string;
  displayName: string;
}

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

export interface SessionsResolveParams {
  key?: string;
  sessionId?: string;
  label?: string;
  agentId?: string;
  spawnedBy?: string;
  includeGlobal?: boolean;
  includeUnknown?: boolean;
}

export interface SessionsPatchParams {
  key: string;
  label?: string | null;
  thinkingLevel?: string | null;
  verboseLevel?: string | null;
  reasoningLevel?: string | null;
  responseUsage?: unknown | null;
  elevatedLevel?: string | null;
  execHost?: string | null;
  execSecurity?: string | null;
  execAsk?: string | null;
  execNode?: string | null;
  model?: string | null;
  spawnedBy?: string | null;
  sendPolicy?: unknown | null;
  groupActivation?: unknown | null;
}

export interface SessionsDeleteParams {
  key: string;
  deleteTranscript?: boolean;
}

export interface SessionsCompactParams {
  key: string;
  maxLines?: number;
}

export type SkillsStatusParams = { [key: string]: never };

export type SkillsBinsParams = { [key: string]: never };

export interface SkillsInstallParams {
  name: string;
  installId: string;
  timeoutMs?: number;
}

export interface SkillsUpdateParams {
  skillKey: string;
  enabled?: boolean;
  apiKey?: string;
  env?: { [key: string]: string };
}

export type WakeParamsMode = "now" | "next-heartbeat";

export interface WakeParams {
  mode: WakeParamsMode;
  text: string;
}

export interface LogsTailParams {
  cursor?: number;
  limit?: number;
  maxBytes?: number;
}

export interface TalkModeParams {
  enabled: boolean;
  phase?: string;
}

export type WizardStartParamsMode = "local" | "remote";

export interface WizardStartParams {
  mode?: WizardStartParamsMode;
  workspace?: string;
}

export interface WizardNextParamsAnswer {
  stepId: string;
  value?: unknown;
}

export interface WizardNextParams {
  sessionId: string;
  answer?: WizardNextParamsAnswer;
}

export interface WizardCancelParams {
  sessionId: string;
}

export interface WizardStatusParams {
  sessionId: string;
}

/** What each method takes and answers. */
export interface Methods {
  "connect": { params: ConnectParams; result: HelloOk };
  "health": { params: { [key: string]: unknown }; result: unknown };
  "logs.tail": { params: LogsTailParams; result: LogsTailResult };
  "channels.status": { params: ChannelsStatusParams; result: ChannelsStatusResult };
  "channels.logout": { params: ChannelsLogoutParams; result: unknown };
  "status": { params: { [key: string]: unknown }; result: unknown };
  "usage.status": { params: { [key: string]: unknown }; result: unknown };
  "usage.cost": { params: { [key: string]: unknown }; result: unknown };
  "tts.status": { params: { [key: string]: unknown }; result: unknown };
  "tts.providers": { params: { [key: string]: unknown }; result: unknown };
  "tts.enable": { params: { [key: string]: unknown }; result: unknown };
  "tts.disable": { params: { [key: string]: unknown }; result: unknown };
  "tts.convert": { params: { [key: string]: unknown }; result: unknown };
  "tts.setProvider": { params: { [key: string]: unknown }; result: unknown };
  "config.get": { params: ConfigGetParams; result: unknown };
  "config.set": { params: ConfigSetParams; result: unknown };
  "config.apply": { params: ConfigApplyParams; result: unknown };
  "config.patch": { params: ConfigPatchParams; result: unknown };
  "config.schema": { params: ConfigSchemaParams; result: ConfigSchemaResponse };
  "exec.approvals.get": { params: ExecApprovalsGetParams; result: ExecApprovalsSnapshot };
  "exec.approvals.set": { params: ExecApprovalsSetParams; result: ExecApprovalsSnapshot };
  "exec.approvals.node.get": { params: ExecApprovalsNodeGetParams; result: unknown };
  "exec.approvals.node.set": { params: ExecApprovalsNodeSetParams; result: unknown };
  "exec.approval.request": { params: ExecApprovalRequestParams; result: unknown };
  "exec.approval.resolve": { params: ExecApprovalResolveParams; result: unknown };
  "wizard.start": { params: WizardStartParams; result: WizardStartResult };
  "wizard.next": { params: WizardNextParams; result: WizardNextResult };
  "wizard.cancel": { params: WizardCancelParams; result: unknown };
  "wizard.status": { params: WizardStatusParams; result: WizardStatusResult };
  "talk.mode": { params: { [key: string]: unknown }; result: unknown };
  "models.list": { params: ModelsListParams; result: ModelsListResult };
  "agents.list": { params: AgentsListParams; result: AgentsListResult };
  "skills.status": { params: SkillsStatusParams; result: unknown };
  "skills.bins": { params: SkillsBinsParams; result: SkillsBinsResult };
  "skills.install": { params: SkillsInstallParams; result: unknown };
  "skills.update": { params: SkillsUpdateParams; result: unknown };
  "update.run": { params: UpdateRunParams; result: unknown };
  "voicewake.get": { params: { [key: string]: unknown }; result: unknown };
  "voicewake.set": { params: { [key: string]: unknown }; result: unknown };
  "sessions.list": { params: SessionsListParams; result: unknown };
  "sessions.preview": { params: SessionsPreviewParams; result: unknown };
  "sessions.patch": { params: SessionsPatchParams; result: unknown };
  "sessions.reset": { params: SessionsResetParams; result: unknown };
  "sessions.delete": { params: SessionsDeleteParams; result: unknown };
  "sessions.compact": { params: SessionsCompactParams; result: unknown };
  "last-heartbeat": { params: { [key: string]: unknown }; result: unknown };
  "set-heartbeats": { params: { [key: string]: unknown }; result: unknown };
  "wake": { params: WakeParams; result: unknown };
  "node.pair.request": { params: NodePairRequestParams; result: unknown };
  "node.pair.list": { params: NodePairListParams; result: unknown };
  "node.pair.approve": { params: NodePairApproveParams; result: unknown };
  "node.pair.reject": { params: NodePairRejectParams; result: unknown };
  "node.pair.verify": { params: NodePairVerifyParams; result: unknown };
  "device.pair.list": { params: DevicePairListParams; result: unknown };
  "device.pair.approve": { params: DevicePairApproveParams; result: unknown };
  "device.pair.reject": { params: DevicePairRejectParams; result: unknown };
  "device.token.rotate": { params: DeviceTokenRotateParams; result: unknown };
  "device.token.revoke": { params: DeviceTokenRevokeParams; result: unknown };
  "node.rename": { params: NodeRenameParams; result: unknown };
  "node.list": { params: NodeListParams; result: unknown };
  "node.describe": { params: NodeDescribeParams; result: unknown };
  "node.invoke": { params: NodeInvokeParams; result: unknown };
  "node.invoke.result": { params: NodeInvokeResultParams; result: unknown };
  "node.event": { params: NodeEventParams; result: unknown };
  "cron.list": { params: CronListParams; result: unknown };
  "cron.status": { params: CronStatusParams; result: unknown };
  "cron.add": { params: { [key: string]: unknown }; result: CronJob };
  "cron.update": { params: { [key: string]: unknown }; result: CronJob };
  "cron.remove": { params: CronRemoveParams; result: unknown };
  "cron.run": { params: CronRunParams; result: unknown };
  "cron.runs": { params: CronRunsParams; result: unknown };
  "system-presence": { params: { [key: string]: unknown }; result: unknown };
  "system-event": { params: { [key: string]: unknown }; result: unknown };
  "send": { params: SendParams; result: unknown };
  "agent": { params: AgentParams; result: unknown };
  "agent.identity.get": { params: AgentIdentityParams; result: AgentIdentityResult };
  "agent.wait": { params: AgentWaitParams; result: unknown };
  "chat.history": { params: ChatHistoryParams; result: unknown };
  "chat.abort": { params: ChatAbortParams; result: unknown };
  "chat.send": { params: ChatSendParams; result: unknown };
  "web.login.start": { params: WebLoginStartParams; result: unknown };
  "web.login.wait": { params: WebLoginWaitParams; result: unknown };
  "browser.request": { params: BrowserRequestParams; result: unknown };
  "poll": { params: PollParams; result: unknown };
  "chat.inject": { params: ChatInjectParams; result: unknown };
  "message.action": { params: { [key: string]: unknown }; result: unknown };
  "sessions.resolve": { params: SessionsResolveParams; result: unknown };
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
