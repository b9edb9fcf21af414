// Models of the gateway's WebSocket protocol for Swift clients, made from schemas/ by scripts/schema-gen.sh.
// Absent fields, and those that are null, are nil. Do not edit.

import Foundation

/// Any JSON value; whole numbers stay whole.
public enum JSONValue: Codable, Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    public init(from decoder: Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int.self) {
            self = .int(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .int(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

/// A value whose `null` is said on purpose: `Nullable<String>?` is absent when nil.
public enum Nullable<Wrapped: Codable & Hashable & Sendable>: Codable, Hashable, Sendable {
    case null
    case value(Wrapped)

    public init(from decoder: Decoder) throws {
        let container = try decoder.singleValueContainer()
        self = container.decodeNil() ? .null : .value(try container.decode(Wrapped.self))
    }

    public func encode(to encoder: Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .value(let value): try container.encode(value)
        }
    }
}

/// The protocol number to offer in `connect`.
public let protocolVersion = 3

public struct RequestFrame: Codable, Hashable, Sendable {
    public var type: String
    public var id: String
    public var method: String
    public var params: JSONValue?

    public init(
        type: String = "req",
        id: String,
        method: String,
        params: JSONValue? = nil
    ) {
        self.type = type
        self.id = id
        self.method = method
        self.params = params
    }

    private enum CodingKeys: String, CodingKey {
        case type = "type"
        case id = "id"
        case method = "method"
        case params = "params"
    }
}

public struct ErrorShape: Codable, Hashable, Sendable {
    public var code: String
    public var message: String
    public var details: JSONValue?
    public var retryable: Bool?
    public var retryAfterMs: Int?

    public init(
        code: String,
        message: String,
        details: JSONValue? = nil,
        retryable: Bool? = nil,
        retryAfterMs: Int? = nil
    ) {
        self.code = code
        self.message = message
        self.details = details
        self.retryable = retryable
        self.retryAfterMs = retryAfterMs
    }

    private enum CodingKeys: String, CodingKey {
        case code = "code"
        case message = "message"
        case details = "details"
        case retryable = "retryable"
        case retryAfterMs = "retryAfterMs"
    }
}

public struct ResponseFrame: Codable, Hashable, Sendable {
    public var type: String
    public var id: String
    public var ok: Bool
    public var payload: JSONValue?
    public var error: ErrorShape?

    public init(
        type: String = "res",
        id: String,
        ok: Bool,
        payload: JSONValue? = nil,
        error: ErrorShape? = nil
    ) {
        self.type = type
        self.id = id
        self.ok = ok
        self.payload = payload
        self.error = error
    }

    private enum CodingKeys: String, CodingKey {
        case type = "type"
        case id = "id"
        case ok = "ok"
        case payload = "payload"
        case error = "error"
    }
}

public struct StateVersion: Codable, Hashable, Sendable {
    public var presence: Int
    public var health: Int

    public init(
        presence: Int,
        health: Int
    ) {
        self.presence = presence
        self.health = health
    }

    private enum CodingKeys: String, CodingKey {
        case presence = "presence"
        case health = "health"
    }
}

public struct EventFrame: Codable, Hashable, Sendable {
    public var type: String
    public var event: String
    public var payload: JSONValue?
    public var seq: Int?
    public var stateVersion: StateVersion?

    public init(
        type: String = "event",
        event: String,
        payload: JSONValue? = nil,
        seq: Int? = nil,
        stateVersion: StateVersion? = nil
    ) {
        self.type = type
        self.event = event
        self.payload = payload
        self.seq = seq
        self.stateVersion = stateVersion
    }

    private enum CodingKeys: String, CodingKey {
        case type = "type"
        case event = "event"
        case payload = "payload"
        case seq = "seq"
        case stateVersion = "stateVersion"
    }
}

public enum GatewayFrame: Codable, Hashable, Sendable {
    case req(RequestFrame)
    case res(ResponseFrame)
    case event(EventFrame)

    private enum CodingKeys: String, CodingKey {
        case type = "type"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(String.self, forKey: .type) {
        case "req": self = .req(try RequestFrame(from: decoder))
        case "res": self = .res(try ResponseFrame(from: decoder))
        case "event": self = .event(try EventFrame(from: decoder))
        default: throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "unknown type of GatewayFrame"))
        }
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .req(let value): try value.encode(to: encoder)
        case .res(let value): try value.encode(to: encoder)
        case .event(let value): try value.encode(to: encoder)
        }
    }
}

public struct HelloOkServer: Codable, Hashable, Sendable {
    public var version: String
    public var commit: String?
    public var host: String?
    public var connId: String

    public init(
        version: String,
        commit: String? = nil,
        host: String? = nil,
        connId: String
    ) {
        self.version = version
        self.commit = commit
        self.host = host
        self.connId = connId
    }

    private enum CodingKeys: String, CodingKey {
        case version = "version"
        case commit = "commit"
        case host = "host"
        case connId = "connId"
    }
}

public struct HelloOkFeatures: Codable, Hashable, Sendable {
    public var methods: [String]
    public var events: [String]

    public init(
        methods: [String],
        events: [String]
    ) {
        self.methods = methods
        self.events = events
    }

    private enum CodingKeys: String, CodingKey {
        case methods = "methods"
        case events = "events"
    }
}

public struct PresenceEntry: Codable, Hashable, Sendable {
    public var host: String?
    public var ip: String?
    public var version: String?
    public var platform: String?
    public var deviceFamily: String?
    public var modelIdentifier: String?
    public var mode: String?
    public var lastInputSeconds: Int?
    public var reason: String?
    public var tags: [String]?
    public var text: String?
    public var ts: Int
    public var deviceId: String?
    public var roles: [String]?
    public var scopes: [String]?
    public var instanceId: String?

    public init(
        host: String? = nil,
        ip: String? = nil,
        version: String? = nil,
        platform: String? = nil,
        deviceFamily: String? = nil,
        modelIdentifier: String? = nil,
        mode: String? = nil,
        lastInputSeconds: Int? = nil,
        reason: String? = nil,
        tags: [String]? = nil,
        text: String? = nil,
        ts: Int,
        deviceId: String? = nil,
        roles: [String]? = nil,
        scopes: [String]? = nil,
        instanceId: String? = nil
    ) {
        self.host = host
        self.ip = ip
        self.version = version
        self.platform = platform
        self.deviceFamily = deviceFamily
        self.modelIdentifier = modelIdentifier
        self.mode = mode
        self.lastInputSeconds = lastInputSeconds
        self.reason = reason
        self.tags = tags
        self.text = text
        self.ts = ts
        self.deviceId = deviceId
        self.roles = roles
        self.scopes = scopes
        self.instanceId = instanceId
    }

    private enum CodingKeys: String, CodingKey {
        case host = "host"
        case ip = "ip"
        case version = "version"
        case platform = "platform"
        case deviceFamily = "deviceFamily"
        case modelIdentifier = "modelIdentifier"
        case mode = "mode"
        case lastInputSeconds = "lastInputSeconds"
        case reason = "reason"
        case tags = "tags"
        case text = "text"
        case ts = "ts"
        case deviceId = "deviceId"
        case roles = "roles"
        case scopes = "scopes"
        case instanceId = "instanceId"
    }
}

public struct SnapshotSessionDefaults: Codable, Hashable, Sendable {
    public var defaultAgentId: String
    public var mainKey: String
    public var mainSessionKey: String
    public var scope: String?

    public init(
        defaultAgentId: String,
        mainKey: String,
        mainSessionKey: String,
        scope: String? = nil
    ) {
        self.defaultAgentId = defaultAgentId
        self.mainKey = mainKey
        self.mainSessionKey = mainSessionKey
        self.scope = scope
    }

    private enum CodingKeys: String, CodingKey {
        case defaultAgentId = "defaultAgentId"
        case mainKey = "mainKey"
        case mainSessionKey = "mainSessionKey"
        case scope = "scope"
    }
}

public struct Snapshot: Codable, Hashable, Sendable {
    public var presence: [PresenceEntry]
    public var health: JSONValue
    public var stateVersion: StateVersion
    public var uptimeMs: Int
    public var configPath: String?
    public var stateDir: String?
    public var sessionDefaults: SnapshotSessionDefaults?

    public init(
        presence: [PresenceEntry],
        health: JSONValue,
        stateVersion: StateVersion,
        uptimeMs: Int,
        configPath: String? = nil,
        stateDir: String? = nil,
        sessionDefaults: SnapshotSessionDefaults? = nil
    ) {
        self.presence = presence
        self.health = health
        self.stateVersion = stateVersion
        self.uptimeMs = uptimeMs
        self.configPath = configPath
        self.stateDir = stateDir
        self.sessionDefaults = sessionDefaults
    }

    private enum CodingKeys: String, CodingKey {
        case presence = "presence"
        case health = "health"
        case stateVersion = "stateVersion"
        case uptimeMs = "uptimeMs"
        case configPath = "configPath"
        case stateDir = "stateDir"
        case sessionDefaults = "sessionDefaults"
    }
}

public struct HelloOkAuth: Codable, Hashable, Sendable {
    public var deviceToken: String
    public var role: String
    public var scopes: [String]
    public var issuedAtMs: Int?

    public init(
        deviceToken: String,
        role: String,
        scopes: [String],
        issuedAtMs: Int? = nil
    ) {
        self.deviceToken = deviceToken
        self.role = role
        self.scopes = scopes
        self.issuedAtMs = issuedAtMs
    }

    private enum CodingKeys: String, CodingKey {
        case deviceToken = "deviceToken"
        case role = "role"
        case scopes = "scopes"
        case issuedAtMs = "issuedAtMs"
    }
}

public struct HelloOkPolicy: Codable, Hashable, Sendable {
    public var maxPayload: Int
    public var maxBufferedBytes: Int
    public var tickIntervalMs: Int

    public init(
        maxPayload: Int,
        maxBufferedBytes: Int,
        tickIntervalMs: Int
    ) {
        self.maxPayload = maxPayload
        self.maxBufferedBytes = maxBufferedBytes
        self.tickIntervalMs = tickIntervalMs
    }

    private enum CodingKeys: String, CodingKey {
        case maxPayload = "maxPayload"
        case maxBufferedBytes = "maxBufferedBytes"
        case tickIntervalMs = "tickIntervalMs"
    }
}

public struct HelloOk: Codable, Hashable, Sendable {
    public var type: String
    public var `protocol`: Int
    public var server: HelloOkServer
    public var features: HelloOkFeatures
    public var snapshot: Snapshot
    public var canvasHostUrl: String?
    public var auth: HelloOkAuth?
    public var policy: HelloOkPolicy

    public init(
        type: String = "hello-ok",
        `protocol`: Int,
        server: HelloOkServer,
        features: HelloOkFeatures,
        snapshot: Snapshot,
        canvasHostUrl: String? = nil,
        auth: HelloOkAuth? = nil,
        policy: HelloOkPolicy
    ) {
        self.type = type
        self.`protocol` = `protocol`
        self.server = server
        self.features = features
        self.snapshot = snapshot
        self.canvasHostUrl = canvasHostUrl
        self.auth = auth
        self.policy = policy
    }

    private enum CodingKeys: String, CodingKey {
        case type = "type"
        case `protocol` = "protocol"
        case server = "server"
        case features = "features"
        case snapshot = "snapshot"
        case canvasHostUrl = "canvasHostUrl"
        case auth = "auth"
        case policy = "policy"
    }
}

public struct TickEvent: Codable, Hashable, Sendable {
    public var ts: Int

    public init(
        ts: Int
    ) {
        self.ts = ts
    }

    private enum CodingKeys: String, CodingKey {
        case ts = "ts"
    }
}

public struct ShutdownEvent: Codable, Hashable, Sendable {
    public var reason: String
    public var restartExpectedMs: Int?

    public init(
        reason: String,
        restartExpectedMs: Int? = nil
    ) {
        self.reason = reason
        self.restartExpectedMs = restartExpectedMs
    }

    private enum CodingKeys: String, CodingKey {
        case reason = "reason"
        case restartExpectedMs = "restartExpectedMs"
    }
}

public struct AgentEvent: Codable, Hashable, Sendable {
    public var runId: String
    public var seq: Int
    public var stream: String
    public var ts: Int
    public var data: [String: JSONValue]

    public init(
        runId: String,
        seq: Int,
        stream: String,
        ts: Int,
        data: [String: JSONValue]
    ) {
        self.runId = runId
        self.seq = seq
        self.stream = stream
        self.ts = ts
        self.data = data
    }

    private enum CodingKeys: String, CodingKey {
        case runId = "runId"
        case seq = "seq"
        case stream = "stream"
        case ts = "ts"
        case data = "data"
    }
}

public struct ChatEventState: RawRepresentable, Codable, Hashable, Sendable {
    public static let delta = Self(rawValue: "delta")
    public static let final = Self(rawValue: "final")
    public static let aborted = Self(rawValue: "aborted")
    public static let error = Self(rawValue: "error")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct ChatEvent: Codable, Hashable, Sendable {
    public var runId: String
    public var sessionKey: String
    public var seq: Int
    public var state: ChatEventState
    public var message: JSONValue?
    public var errorMessage: String?
    public var usage: JSONValue?
    public var stopReason: String?

    public init(
        runId: String,
        sessionKey: String,
        seq: Int,
        state: ChatEventState,
        message: JSONValue? = nil,
        errorMessage: String? = nil,
        usage: JSONValue? = nil,
        stopReason: String? = nil
    ) {
        self.runId = runId
        self.sessionKey = sessionKey
        self.seq = seq
        self.state = state
        self.message = message
        self.errorMessage = errorMessage
        self.usage = usage
        self.stopReason = stopReason
    }

    private enum CodingKeys: String, CodingKey {
        case runId = "runId"
        case sessionKey = "sessionKey"
        case seq = "seq"
        case state = "state"
        case message = "message"
        case errorMessage = "errorMessage"
        case usage = "usage"
        case stopReason = "stopReason"
    }
}

public struct NodeInvokeRequestEvent: Codable, Hashable, Sendable {
    public var id: String
    public var nodeId: String
    public var command: String
    public var paramsJSON: String?
    public var timeoutMs: Int?
    public var idempotencyKey: String?

    public init(
        id: String,
        nodeId: String,
        command: String,
        paramsJSON: String? = nil,
        timeoutMs: Int? = nil,
        idempotencyKey: String? = nil
    ) {
        self.id = id
        self.nodeId = nodeId
        self.command = command
        self.paramsJSON = paramsJSON
        self.timeoutMs = timeoutMs
        self.idempotencyKey = idempotencyKey
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case nodeId = "nodeId"
        case command = "command"
        case paramsJSON = "paramsJSON"
        case timeoutMs = "timeoutMs"
        case idempotencyKey = "idempotencyKey"
    }
}

public struct DevicePairRequestedEvent: Codable, Hashable, Sendable {
    public var requestId: String
    public var deviceId: String
    public var publicKey: String
    public var displayName: String?
    public var platform: String?
    public var clientId: String?
    public var clientMode: String?
    public var role: String?
    public var roles: [String]?
    public var scopes: [String]?
    public var remoteIp: String?
    public var silent: Bool?
    public var isRepair: Bool?
    public var ts: Int

    public init(
        requestId: String,
        deviceId: String,
        publicKey: String,
        displayName: String? = nil,
        platform: String? = nil,
        clientId: String? = nil,
        clientMode: String? = nil,
        role: String? = nil,
        roles: [String]? = nil,
        scopes: [String]? = nil,
        remoteIp: String? = nil,
        silent: Bool? = nil,
        isRepair: Bool? = nil,
        ts: Int
    ) {
        self.requestId = requestId
        self.deviceId = deviceId
        self.publicKey = publicKey
        self.displayName = displayName
        self.platform = platform
        self.clientId = clientId
        self.clientMode = clientMode
        self.role = role
        self.roles = roles
        self.scopes = scopes
        self.remoteIp = remoteIp
        self.silent = silent
        self.isRepair = isRepair
        self.ts = ts
    }

    private enum CodingKeys: String, CodingKey {
        case requestId = "requestId"
        case deviceId = "deviceId"
        case publicKey = "publicKey"
        case displayName = "displayName"
        case platform = "platform"
        case clientId = "clientId"
        case clientMode = "clientMode"
        case role = "role"
        case roles = "roles"
        case scopes = "scopes"
        case remoteIp = "remoteIp"
        case silent = "silent"
        case isRepair = "isRepair"
        case ts = "ts"
    }
}

public struct DevicePairResolvedEvent: Codable, Hashable, Sendable {
    public var requestId: String
    public var deviceId: String
    public var decision: String
    public var ts: Int

    public init(
        requestId: String,
        deviceId: String,
        decision: String,
        ts: Int
    ) {
        self.requestId = requestId
        self.deviceId = deviceId
        self.decision = decision
        self.ts = ts
    }

    private enum CodingKeys: String, CodingKey {
        case requestId = "requestId"
        case deviceId = "deviceId"
        case decision = "decision"
        case ts = "ts"
    }
}

public struct AgentIdentityResult: Codable, Hashable, Sendable {
    public var agentId: String
    public var name: String?
    public var avatar: String?

    public init(
        agentId: String,
        name: String? = nil,
        avatar: String? = nil
    ) {
        self.agentId = agentId
        self.name = name
        self.avatar = avatar
    }

    private enum CodingKeys: String, CodingKey {
        case agentId = "agentId"
        case name = "name"
        case avatar = "avatar"
    }
}

public struct AgentSummaryIdentity: Codable, Hashable, Sendable {
    public var name: String?
    public var theme: String?
    public var emoji: String?
    public var avatar: String?
    public var avatarUrl: String?

    public init(
        name: String? = nil,
        theme: String? = nil,
        emoji: String? = nil,
        avatar: String? = nil,
        avatarUrl: String? = nil
    ) {
        self.name = name
        self.theme = theme
        self.emoji = emoji
        self.avatar = avatar
        self.avatarUrl = avatarUrl
    }

    private enum CodingKeys: String, CodingKey {
        case name = "name"
        case theme = "theme"
        case emoji = "emoji"
        case avatar = "avatar"
        case avatarUrl = "avatarUrl"
    }
}

public struct AgentSummary: Codable, Hashable, Sendable {
    public var id: String
    public var name: String?
    public var identity: AgentSummaryIdentity?

    public init(
        id: String,
        name: String? = nil,
        identity: AgentSummaryIdentity? = nil
    ) {
        self.id = id
        self.name = name
        self.identity = identity
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case name = "name"
        case identity = "identity"
    }
}

public struct AgentsListResultScope: RawRepresentable, Codable, Hashable, Sendable {
    public static let perSender = Self(rawValue: "per-sender")
    public static let global = Self(rawValue: "global")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct AgentsListResult: Codable, Hashable, Sendable {
    public var defaultId: String
    public var mainKey: String
    public var scope: AgentsListResultScope
    public var agents: [AgentSummary]

    public init(
        defaultId: String,
        mainKey: String,
        scope: AgentsListResultScope,
        agents: [AgentSummary]
    ) {
        self.defaultId = defaultId
        self.mainKey = mainKey
        self.scope = scope
        self.agents = agents
    }

    private enum CodingKeys: String, CodingKey {
        case defaultId = "defaultId"
        case mainKey = "mainKey"
        case scope = "scope"
        case agents = "agents"
    }
}

public struct ModelChoice: Codable, Hashable, Sendable {
    public var id: String
    public var name: String
    public var provider: String
    public var contextWindow: Int?
    public var reasoning: Bool?

    public init(
        id: String,
        name: String,
        provider: String,
        contextWindow: Int? = nil,
        reasoning: Bool? = nil
    ) {
        self.id = id
        self.name = name
        self.provider = provider
        self.contextWindow = contextWindow
        self.reasoning = reasoning
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case name = "name"
        case provider = "provider"
        case contextWindow = "contextWindow"
        case reasoning = "reasoning"
    }
}

public struct ModelsListResult: Codable, Hashable, Sendable {
    public var models: [ModelChoice]

    public init(
        models: [ModelChoice]
    ) {
        self.models = models
    }

    private enum CodingKeys: String, CodingKey {
        case models = "models"
    }
}

public struct LogsTailResult: Codable, Hashable, Sendable {
    public var file: String
    public var cursor: Int
    public var size: Int
    public var lines: [String]
    public var truncated: Bool?
    public var reset: Bool?

    public init(
        file: String,
        cursor: Int,
        size: Int,
        lines: [String],
        truncated: Bool? = nil,
        reset: Bool? = nil
    ) {
        self.file = file
        self.cursor = cursor
        self.size = size
        self.lines = lines
        self.truncated = truncated
        self.reset = reset
    }

    private enum CodingKeys: String, CodingKey {
        case file = "file"
        case cursor = "cursor"
        case size = "size"
        case lines = "lines"
        case truncated = "truncated"
        case reset = "reset"
    }
}

public struct SkillsBinsResult: Codable, Hashable, Sendable {
    public var bins: [String]

    public init(
        bins: [String]
    ) {
        self.bins = bins
    }

    private enum CodingKeys: String, CodingKey {
        case bins = "bins"
    }
}

public struct CronRunLogEntryStatus: RawRepresentable, Codable, Hashable, Sendable {
    public static let ok = Self(rawValue: "ok")
    public static let error = Self(rawValue: "error")
    public static let skipped = Self(rawValue: "skipped")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct CronRunLogEntry: Codable, Hashable, Sendable {
    public var ts: Int
    public var jobId: String
    public var action: String
    public var status: CronRunLogEntryStatus?
    public var error: String?
    public var summary: String?
    public var runAtMs: Int?
    public var durationMs: Int?
    public var nextRunAtMs: Int?

    public init(
        ts: Int,
        jobId: String,
        action: String = "finished",
        status: CronRunLogEntryStatus? = nil,
        error: String? = nil,
        summary: String? = nil,
        runAtMs: Int? = nil,
        durationMs: Int? = nil,
        nextRunAtMs: Int? = nil
    ) {
        self.ts = ts
        self.jobId = jobId
        self.action = action
        self.status = status
        self.error = error
        self.summary = summary
        self.runAtMs = runAtMs
        self.durationMs = durationMs
        self.nextRunAtMs = nextRunAtMs
    }

    private enum CodingKeys: String, CodingKey {
        case ts = "ts"
        case jobId = "jobId"
        case action = "action"
        case status = "status"
        case error = "error"
        case summary = "summary"
        case runAtMs = "runAtMs"
        case durationMs = "durationMs"
        case nextRunAtMs = "nextRunAtMs"
    }
}

public struct ExecApprovalsSnapshotFileSocket: Codable, Hashable, Sendable {
    public var path: String?
    public var token: String?

    public init(
        path: String? = nil,
        token: String? = nil
    ) {
        self.path = path
        self.token = token
    }

    private enum CodingKeys: String, CodingKey {
        case path = "path"
        case token = "token"
    }
}

public struct ExecApprovalsSnapshotFileDefaults: Codable, Hashable, Sendable {
    public var security: String?
    public var ask: String?
    public var askFallback: String?
    public var autoAllowSkills: Bool?

    public init(
        security: String? = nil,
        ask: String? = nil,
        askFallback: String? = nil,
        autoAllowSkills: Bool? = nil
    ) {
        self.security = security
        self.ask = ask
        self.askFallback = askFallback
        self.autoAllowSkills = autoAllowSkills
    }

    private enum CodingKeys: String, CodingKey {
        case security = "security"
        case ask = "ask"
        case askFallback = "askFallback"
        case autoAllowSkills = "autoAllowSkills"
    }
}

public struct ExecApprovalsSnapshotFileAgentAllowlist: Codable, Hashable, Sendable {
    public var id: String?
    public var pattern: String
    public var lastUsedAt: Int?
    public var lastUsedCommand: String?
    public var lastResolvedPath: String?

    public init(
        id: String? = nil,
        pattern: String,
        lastUsedAt: Int? = nil,
        lastUsedCommand: String? = nil,
        lastResolvedPath: String? = nil
    ) {
        self.id = id
        self.pattern = pattern
        self.lastUsedAt = lastUsedAt
        self.lastUsedCommand = lastUsedCommand
        self.lastResolvedPath = lastResolvedPath
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case pattern = "pattern"
        case lastUsedAt = "lastUsedAt"
        case lastUsedCommand = "lastUsedCommand"
        case lastResolvedPath = "lastResolvedPath"
    }
}

public struct ExecApprovalsSnapshotFileAgent: Codable, Hashable, Sendable {
    public var security: String?
    public var ask: String?
    public var askFallback: String?
    public var autoAllowSkills: Bool?
    public var allowlist: [ExecApprovalsSnapshotFileAgentAllowlist]?

    public init(
        security: String? = nil,
        ask: String? = nil,
        askFallback: String? = nil,
        autoAllowSkills: Bool? = nil,
        allowlist: [ExecApprovalsSnapshotFileAgentAllowlist]? = nil
    ) {
        self.security = security
        self.ask = ask
        self.askFallback = askFallback
        self.autoAllowSkills = autoAllowSkills
        self.allowlist = allowlist
    }

    private enum CodingKeys: String, CodingKey {
        case security = "security"
        case ask = "ask"
        case askFallback = "askFallback"
        case autoAllowSkills = "autoAllowSkills"
        case allowlist = "allowlist"
    }
}

public struct ExecApprovalsSnapshotFile: Codable, Hashable, Sendable {
    public var version: Int
    public var socket: ExecApprovalsSnapshotFileSocket?
    public var defaults: ExecApprovalsSnapshotFileDefaults?
    public var agents: [String: ExecApprovalsSnapshotFileAgent]?

    public init(
        version: Int = 1,
        socket: ExecApprovalsSnapshotFileSocket? = nil,
        defaults: ExecApprovalsSnapshotFileDefaults? = nil,
        agents: [String: ExecApprovalsSnapshotFileAgent]? = nil
    ) {
        self.version = version
        self.socket = socket
        self.defaults = defaults
        self.agents = agents
    }

    private enum CodingKeys: String, CodingKey {
        case version = "version"
        case socket = "socket"
        case defaults = "defaults"
        case agents = "agents"
    }
}

public struct ExecApprovalsSnapshot: Codable, Hashable, Sendable {
    public var path: String
    public var exists: Bool
    public var hash: String
    public var file: ExecApprovalsSnapshotFile

    public init(
        path: String,
        exists: Bool,
        hash: String,
        file: ExecApprovalsSnapshotFile
    ) {
        self.path = path
        self.exists = exists
        self.hash = hash
        self.file = file
    }

    private enum CodingKeys: String, CodingKey {
        case path = "path"
        case exists = "exists"
        case hash = "hash"
        case file = "file"
    }
}

public struct ConfigSchemaResponseUiHint: Codable, Hashable, Sendable {
    public var label: String?
    public var help: String?
    public var group: String?
    public var order: Int?
    public var advanced: Bool?
    public var sensitive: Bool?
    public var placeholder: String?
    public var itemTemplate: JSONValue?

    public init(
        label: String? = nil,
        help: String? = nil,
        group: String? = nil,
        order: Int? = nil,
        advanced: Bool? = nil,
        sensitive: Bool? = nil,
        placeholder: String? = nil,
        itemTemplate: JSONValue? = nil
    ) {
        self.label = label
        self.help = help
        self.group = group
        self.order = order
        self.advanced = advanced
        self.sensitive = sensitive
        self.placeholder = placeholder
        self.itemTemplate = itemTemplate
    }

    private enum CodingKeys: String, CodingKey {
        case label = "label"
        case help = "help"
        case group = "group"
        case order = "order"
        case advanced = "advanced"
        case sensitive = "sensitive"
        case placeholder = "placeholder"
        case itemTemplate = "itemTemplate"
    }
}

public struct ConfigSchemaResponse: Codable, Hashable, Sendable {
    public var schema: JSONValue
    public var uiHints: [String: ConfigSchemaResponseUiHint]
    public var version: String
    public var generatedAt: String

    public init(
        schema: JSONValue,
        uiHints: [String: ConfigSchemaResponseUiHint],
        version: String,
        generatedAt: String
    ) {
        self.schema = schema
        self.uiHints = uiHints
        self.version = version
        self.generatedAt = generatedAt
    }

    private enum CodingKeys: String, CodingKey {
        case schema = "schema"
        case uiHints = "uiHints"
        case version = "version"
        case generatedAt = "generatedAt"
    }
}

public struct ChannelsStatusResultChannelMeta: Codable, Hashable, Sendable {
    public var id: String
    public var label: String
    public var detailLabel: String
    public var systemImage: String?

    public init(
        id: String,
        label: String,
        detailLabel: String,
        systemImage: String? = nil
    ) {
        self.id = id
        self.label = label
        self.detailLabel = detailLabel
        self.systemImage = systemImage
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case label = "label"
        case detailLabel = "detailLabel"
        case systemImage = "systemImage"
    }
}

/// There may be more fields than these; they are not kept.
public struct ChannelsStatusResultChannelAccount: Codable, Hashable, Sendable {
    public var accountId: String
    public var name: String?
    public var enabled: Bool?
    public var configured: Bool?
    public var linked: Bool?
    public var running: Bool?
    public var connected: Bool?
    public var reconnectAttempts: Int?
    public var lastConnectedAt: Int?
    public var lastError: String?
    public var lastStartAt: Int?
    public var lastStopAt: Int?
    public var lastInboundAt: Int?
    public var lastOutboundAt: Int?
    public var lastProbeAt: Int?
    public var mode: String?
    public var dmPolicy: String?
    public var allowFrom: [String]?
    public var tokenSource: String?
    public var botTokenSource: String?
    public var appTokenSource: String?
    public var baseUrl: String?
    public var allowUnmentionedGroups: Bool?
    public var cliPath: Nullable<String>?
    public var dbPath: Nullable<String>?
    public var port: Nullable<Int>?
    public var probe: JSONValue?
    public var audit: JSONValue?
    public var application: JSONValue?

    public init(
        accountId: String,
        name: String? = nil,
        enabled: Bool? = nil,
        configured: Bool? = nil,
        linked: Bool? = nil,
        running: Bool? = nil,
        connected: Bool? = nil,
        reconnectAttempts: Int? = nil,
        lastConnectedAt: Int? = nil,
        lastError: String? = nil,
        lastStartAt: Int? = nil,
        lastStopAt: Int? = nil,
        lastInboundAt: Int? = nil,
        lastOutboundAt: Int? = nil,
        lastProbeAt: Int? = nil,
        mode: String? = nil,
        dmPolicy: String? = nil,
        allowFrom: [String]? = nil,
        tokenSource: String? = nil,
        botTokenSource: String? = nil,
        appTokenSource: String? = nil,
        baseUrl: String? = nil,
        allowUnmentionedGroups: Bool? = nil,
        cliPath: Nullable<String>? = nil,
        dbPath: Nullable<String>? = nil,
        port: Nullable<Int>? = nil,
        probe: JSONValue? = nil,
        audit: JSONValue? = nil,
        application: JSONValue? = nil
    ) {
        self.accountId = accountId
        self.name = name
        self.enabled = enabled
        self.configured = configured
        self.linked = linked
        self.running = running
        self.connected = connected
        self.reconnectAttempts = reconnectAttempts
        self.lastConnectedAt = lastConnectedAt
        self.lastError = lastError
        self.lastStartAt = lastStartAt
        self.lastStopAt = lastStopAt
        self.lastInboundAt = lastInboundAt
        self.lastOutboundAt = lastOutboundAt
        self.lastProbeAt = lastProbeAt
        self.mode = mode
        self.dmPolicy = dmPolicy
        self.allowFrom = allowFrom
        self.tokenSource = tokenSource
        self.botTokenSource = botTokenSource
        self.appTokenSource = appTokenSource
        self.baseUrl = baseUrl
        self.allowUnmentionedGroups = allowUnmentionedGroups
        self.cliPath = cliPath
        self.dbPath = dbPath
        self.port = port
        self.probe = probe
        self.audit = audit
        self.application = application
    }

    private enum CodingKeys: String, CodingKey {
        case accountId = "accountId"
        case name = "name"
        case enabled = "enabled"
        case configured = "configured"
        case linked = "linked"
        case running = "running"
        case connected = "connected"
        case reconnectAttempts = "reconnectAttempts"
        case lastConnectedAt = "lastConnectedAt"
        case lastError = "lastError"
        case lastStartAt = "lastStartAt"
        case lastStopAt = "lastStopAt"
        case lastInboundAt = "lastInboundAt"
        case lastOutboundAt = "lastOutboundAt"
        case lastProbeAt = "lastProbeAt"
        case mode = "mode"
        case dmPolicy = "dmPolicy"
        case allowFrom = "allowFrom"
        case tokenSource = "tokenSource"
        case botTokenSource = "botTokenSource"
        case appTokenSource = "appTokenSource"
        case baseUrl = "baseUrl"
        case allowUnmentionedGroups = "allowUnmentionedGroups"
        case cliPath = "cliPath"
        case dbPath = "dbPath"
        case port = "port"
        case probe = "probe"
        case audit = "audit"
        case application = "application"
    }
}

public struct ChannelsStatusResult: Codable, Hashable, Sendable {
    public var ts: Int
    public var channelOrder: [String]
    public var channelLabels: [String: String]
    public var channelDetailLabels: [String: String]?
    public var channelSystemImages: [String: String]?
    public var channelMeta: [ChannelsStatusResultChannelMeta]?
    public var channels: [String: JSONValue]
    public var channelAccounts: [String: [ChannelsStatusResultChannelAccount]]
    public var channelDefaultAccountId: [String: String]

    public init(
        ts: Int,
        channelOrder: [String],
        channelLabels: [String: String],
        channelDetailLabels: [String: String]? = nil,
        channelSystemImages: [String: String]? = nil,
        channelMeta: [ChannelsStatusResultChannelMeta]? = nil,
        channels: [String: JSONValue],
        channelAccounts: [String: [ChannelsStatusResultChannelAccount]],
        channelDefaultAccountId: [String: String]
    ) {
        self.ts = ts
        self.channelOrder = channelOrder
        self.channelLabels = channelLabels
        self.channelDetailLabels = channelDetailLabels
        self.channelSystemImages = channelSystemImages
        self.channelMeta = channelMeta
        self.channels = channels
        self.channelAccounts = channelAccounts
        self.channelDefaultAccountId = channelDefaultAccountId
    }

    private enum CodingKeys: String, CodingKey {
        case ts = "ts"
        case channelOrder = "channelOrder"
        case channelLabels = "channelLabels"
        case channelDetailLabels = "channelDetailLabels"
        case channelSystemImages = "channelSystemImages"
        case channelMeta = "channelMeta"
        case channels = "channels"
        case channelAccounts = "channelAccounts"
        case channelDefaultAccountId = "channelDefaultAccountId"
    }
}

public struct WizardStepType: RawRepresentable, Codable, Hashable, Sendable {
    public static let note = Self(rawValue: "note")
    public static let select = Self(rawValue: "select")
    public static let text = Self(rawValue: "text")
    public static let confirm = Self(rawValue: "confirm")
    public static let multiselect = Self(rawValue: "multiselect")
    public static let progress = Self(rawValue: "progress")
    public static let action = Self(rawValue: "action")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct WizardStepOption: Codable, Hashable, Sendable {
    public var value: JSONValue
    public var label: String
    public var hint: String?

    public init(
        value: JSONValue,
        label: String,
        hint: String? = nil
    ) {
        self.value = value
        self.label = label
        self.hint = hint
    }

    private enum CodingKeys: String, CodingKey {
        case value = "value"
        case label = "label"
        case hint = "hint"
    }
}

public struct WizardStepExecutor: RawRepresentable, Codable, Hashable, Sendable {
    public static let gateway = Self(rawValue: "gateway")
    public static let client = Self(rawValue: "client")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct WizardStep: Codable, Hashable, Sendable {
    public var id: String
    public var type: WizardStepType
    public var title: String?
    public var message: String?
    public var options: [WizardStepOption]?
    public var initialValue: JSONValue?
    public var placeholder: String?
    public var sensitive: Bool?
    public var executor: WizardStepExecutor?

    public init(
        id: String,
        type: WizardStepType,
        title: String? = nil,
        message: String? = nil,
        options: [WizardStepOption]? = nil,
        initialValue: JSONValue? = nil,
        placeholder: String? = nil,
        sensitive: Bool? = nil,
        executor: WizardStepExecutor? = nil
    ) {
        self.id = id
        self.type = type
        self.title = title
        self.message = message
        self.options = options
        self.initialValue = initialValue
        self.placeholder = placeholder
        self.sensitive = sensitive
        self.executor = executor
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case type = "type"
        case title = "title"
        case message = "message"
        case options = "options"
        case initialValue = "initialValue"
        case placeholder = "placeholder"
        case sensitive = "sensitive"
        case executor = "executor"
    }
}

public struct WizardStartResultStatus: RawRepresentable, Codable, Hashable, Sendable {
    public static let running = Self(rawValue: "running")
    public static let done = Self(rawValue: "done")
    public static let cancelled = Self(rawValue: "cancelled")
    public static let error = Self(rawValue: "error")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct WizardStartResult: Codable, Hashable, Sendable {
    public var sessionId: String
    public var done: Bool
    public var step: WizardStep?
    public var status: WizardStartResultStatus?
    public var error: String?

    public init(
        sessionId: String,
        done: Bool,
        step: WizardStep? = nil,
        status: WizardStartResultStatus? = nil,
        error: String? = nil
    ) {
        self.sessionId = sessionId
        self.done = done
        self.step = step
        self.status = status
        self.error = error
    }

    private enum CodingKeys: String, CodingKey {
        case sessionId = "sessionId"
        case done = "done"
        case step = "step"
        case status = "status"
        case error = "error"
    }
}

public struct WizardNextResult: Codable, Hashable, Sendable {
    public var done: Bool
    public var step: WizardStep?
    public var status: WizardStartResultStatus?
    public var error: String?

    public init(
        done: Bool,
        step: WizardStep? = nil,
        status: WizardStartResultStatus? = nil,
        error: String? = nil
    ) {
        self.done = done
        self.step = step
        self.status = status
        self.error = error
    }

    private enum CodingKeys: String, CodingKey {
        case done = "done"
        case step = "step"
        case status = "status"
        case error = "error"
    }
}

public struct WizardStatusResult: Codable, Hashable, Sendable {
    public var status: WizardStartResultStatus
    public var error: String?

    public init(
        status: WizardStartResultStatus,
        error: String? = nil
    ) {
        self.status = status
        self.error = error
    }

    private enum CodingKeys: String, CodingKey {
        case status = "status"
        case error = "error"
    }
}

public struct ConnectParamsClientId: RawRepresentable, Codable, Hashable, Sendable {
    public static let webchatUi = Self(rawValue: "webchat-ui")
    public static let clawdbotControlUi = Self(rawValue: "clawdbot-control-ui")
    public static let webchat = Self(rawValue: "webchat")
    public static let cli = Self(rawValue: "cli")
    public static let gatewayClient = Self(rawValue: "gateway-client")
    public static let clawdbotMacos = Self(rawValue: "clawdbot-macos")
    public static let clawdbotIos = Self(rawValue: "clawdbot-ios")
    public static let clawdbotAndroid = Self(rawValue: "clawdbot-android")
    public static let nodeHost = Self(rawValue: "node-host")
    public static let test = Self(rawValue: "test")
    public static let fingerprint = Self(rawValue: "fingerprint")
    public static let clawdbotProbe = Self(rawValue: "clawdbot-probe")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct ConnectParamsClientMode: RawRepresentable, Codable, Hashable, Sendable {
    public static let webchat = Self(rawValue: "webchat")
    public static let cli = Self(rawValue: "cli")
    public static let ui = Self(rawValue: "ui")
    public static let backend = Self(rawValue: "backend")
    public static let node = Self(rawValue: "node")
    public static let probe = Self(rawValue: "probe")
    public static let test = Self(rawValue: "test")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct ConnectParamsClient: Codable, Hashable, Sendable {
    public var id: ConnectParamsClientId
    public var displayName: String?
    public var version: String
    public var platform: String
    public var deviceFamily: String?
    public var modelIdentifier: String?
    public var mode: ConnectParamsClientMode
    public var instanceId: String?

    public init(
        id: ConnectParamsClientId,
        displayName: String? = nil,
        version: String,
        platform: String,
        deviceFamily: String? = nil,
        modelIdentifier: String? = nil,
        mode: ConnectParamsClientMode,
        instanceId: String? = nil
    ) {
        self.id = id
        self.displayName = displayName
        self.version = version
        self.platform = platform
        self.deviceFamily = deviceFamily
        self.modelIdentifier = modelIdentifier
        self.mode = mode
        self.instanceId = instanceId
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case displayName = "displayName"
        case version = "version"
        case platform = "platform"
        case deviceFamily = "deviceFamily"
        case modelIdentifier = "modelIdentifier"
        case mode = "mode"
        case instanceId = "instanceId"
    }
}

public struct ConnectParamsDevice: Codable, Hashable, Sendable {
    public var id: String
    public var publicKey: String
    public var signature: String
    public var signedAt: Int
    public var nonce: String?

    public init(
        id: String,
        publicKey: String,
        signature: String,
        signedAt: Int,
        nonce: String? = nil
    ) {
        self.id = id
        self.publicKey = publicKey
        self.signature = signature
        self.signedAt = signedAt
        self.nonce = nonce
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case publicKey = "publicKey"
        case signature = "signature"
        case signedAt = "signedAt"
        case nonce = "nonce"
    }
}

public struct ConnectParamsAuth: Codable, Hashable, Sendable {
    public var token: String?
    public var password: String?

    public init(
        token: String? = nil,
        password: String? = nil
    ) {
        self.token = token
        self.password = password
    }

    private enum CodingKeys: String, CodingKey {
        case token = "token"
        case password = "password"
    }
}

public struct ConnectParams: Codable, Hashable, Sendable {
    public var minProtocol: Int
    public var maxProtocol: Int
    public var client: ConnectParamsClient
    public var caps: [String]?
    public var commands: [String]?
    public var permissions: [String: Bool]?
    public var pathEnv: String?
    public var role: String?
    public var scopes: [String]?
    public var device: ConnectParamsDevice?
    public var auth: ConnectParamsAuth?
    public var locale: String?
    public var userAgent: String?

    public init(
        minProtocol: Int,
        maxProtocol: Int,
        client: ConnectParamsClient,
        caps: [String]? = nil,
        commands: [String]? = nil,
        permissions: [String: Bool]? = nil,
        pathEnv: String? = nil,
        role: String? = nil,
        scopes: [String]? = nil,
        device: ConnectParamsDevice? = nil,
        auth: ConnectParamsAuth? = nil,
        locale: String? = nil,
        userAgent: String? = nil
    ) {
        self.minProtocol = minProtocol
        self.maxProtocol = maxProtocol
        self.client = client
        self.caps = caps
        self.commands = commands
        self.permissions = permissions
        self.pathEnv = pathEnv
        self.role = role
        self.scopes = scopes
        self.device = device
        self.auth = auth
        self.locale = locale
        self.userAgent = userAgent
    }

    private enum CodingKeys: String, CodingKey {
        case minProtocol = "minProtocol"
        case maxProtocol = "maxProtocol"
        case client = "client"
        case caps = "caps"
        case commands = "commands"
        case permissions = "permissions"
        case pathEnv = "pathEnv"
        case role = "role"
        case scopes = "scopes"
        case device = "device"
        case auth = "auth"
        case locale = "locale"
        case userAgent = "userAgent"
    }
}

public struct AgentParams: Codable, Hashable, Sendable {
    public var message: String
    public var agentId: String?
    public var to: String?
    public var replyTo: String?
    public var sessionId: String?
    public var sessionKey: String?
    public var thinking: String?
    public var deliver: Bool?
    public var attachments: [JSONValue]?
    public var channel: String?
    public var replyChannel: String?
    public var accountId: String?
    public var replyAccountId: String?
    public var threadId: String?
    public var groupId: String?
    public var groupChannel: String?
    public var groupSpace: String?
    public var timeout: Int?
    public var lane: String?
    public var extraSystemPrompt: String?
    public var idempotencyKey: String
    public var label: String?
    public var spawnedBy: String?

    public init(
        message: String,
        agentId: String? = nil,
        to: String? = nil,
        replyTo: String? = nil,
        sessionId: String? = nil,
        sessionKey: String? = nil,
        thinking: String? = nil,
        deliver: Bool? = nil,
        attachments: [JSONValue]? = nil,
        channel: String? = nil,
        replyChannel: String? = nil,
        accountId: String? = nil,
        replyAccountId: String? = nil,
        threadId: String? = nil,
        groupId: String? = nil,
        groupChannel: String? = nil,
        groupSpace: String? = nil,
        timeout: Int? = nil,
        lane: String? = nil,
        extraSystemPrompt: String? = nil,
        idempotencyKey: String,
        label: String? = nil,
        spawnedBy: String? = nil
    ) {
        self.message = message
        self.agentId = agentId
        self.to = to
        self.replyTo = replyTo
        self.sessionId = sessionId
        self.sessionKey = sessionKey
        self.thinking = thinking
        self.deliver = deliver
        self.attachments = attachments
        self.channel = channel
        self.replyChannel = replyChannel
        self.accountId = accountId
        self.replyAccountId = replyAccountId
        self.threadId = threadId
        self.groupId = groupId
        self.groupChannel = groupChannel
        self.groupSpace = groupSpace
        self.timeout = timeout
        self.lane = lane
        self.extraSystemPrompt = extraSystemPrompt
        self.idempotencyKey = idempotencyKey
        self.label = label
        self.spawnedBy = spawnedBy
    }

    private enum CodingKeys: String, CodingKey {
        case message = "message"
        case agentId = "agentId"
        case to = "to"
        case replyTo = "replyTo"
        case sessionId = "sessionId"
        case sessionKey = "sessionKey"
        case thinking = "thinking"
        case deliver = "deliver"
        case attachments = "attachments"
        case channel = "channel"
        case replyChannel = "replyChannel"
        case accountId = "accountId"
        case replyAccountId = "replyAccountId"
        case threadId = "threadId"
        case groupId = "groupId"
        case groupChannel = "groupChannel"
        case groupSpace = "groupSpace"
        case timeout = "timeout"
        case lane = "lane"
        case extraSystemPrompt = "extraSystemPrompt"
        case idempotencyKey = "idempotencyKey"
        case label = "label"
        case spawnedBy = "spawnedBy"
    }
}

public struct AgentWaitParams: Codable, Hashable, Sendable {
    public var runId: String
    public var timeoutMs: Int?

    public init(
        runId: String,
        timeoutMs: Int? = nil
    ) {
        self.runId = runId
        self.timeoutMs = timeoutMs
    }

    private enum CodingKeys: String, CodingKey {
        case runId = "runId"
        case timeoutMs = "timeoutMs"
    }
}

public struct AgentIdentityParams: Codable, Hashable, Sendable {
    public var agentId: String?
    public var sessionKey: String?

    public init(
        agentId: String? = nil,
        sessionKey: String? = nil
    ) {
        self.agentId = agentId
        self.sessionKey = sessionKey
    }

    private enum CodingKeys: String, CodingKey {
        case agentId = "agentId"
        case sessionKey = "sessionKey"
    }
}

public struct AgentsListParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct ModelsListParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct ExecApprovalsGetParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct ExecApprovalsSetParams: Codable, Hashable, Sendable {
    public var file: ExecApprovalsSnapshotFile
    public var baseHash: String?

    public init(
        file: ExecApprovalsSnapshotFile,
        baseHash: String? = nil
    ) {
        self.file = file
        self.baseHash = baseHash
    }

    private enum CodingKeys: String, CodingKey {
        case file = "file"
        case baseHash = "baseHash"
    }
}

public struct ExecApprovalsNodeGetParams: Codable, Hashable, Sendable {
    public var nodeId: String

    public init(
        nodeId: String
    ) {
        self.nodeId = nodeId
    }

    private enum CodingKeys: String, CodingKey {
        case nodeId = "nodeId"
    }
}

public struct ExecApprovalsNodeSetParams: Codable, Hashable, Sendable {
    public var nodeId: String
    public var file: ExecApprovalsSnapshotFile
    public var baseHash: String?

    public init(
        nodeId: String,
        file: ExecApprovalsSnapshotFile,
        baseHash: String? = nil
    ) {
        self.nodeId = nodeId
        self.file = file
        self.baseHash = baseHash
    }

    private enum CodingKeys: String, CodingKey {
        case nodeId = "nodeId"
        case file = "file"
        case baseHash = "baseHash"
    }
}

public struct ExecApprovalRequestParams: Codable, Hashable, Sendable {
    public var id: String?
    public var command: String
    public var cwd: Nullable<String>?
    public var host: Nullable<String>?
    public var security: Nullable<String>?
    public var ask: Nullable<String>?
    public var agentId: Nullable<String>?
    public var resolvedPath: Nullable<String>?
    public var sessionKey: Nullable<String>?
    public var timeoutMs: Int?

    public init(
        id: String? = nil,
        command: String,
        cwd: Nullable<String>? = nil,
        host: Nullable<String>? = nil,
        security: Nullable<String>? = nil,
        ask: Nullable<String>? = nil,
        agentId: Nullable<String>? = nil,
        resolvedPath: Nullable<String>? = nil,
        sessionKey: Nullable<String>? = nil,
        timeoutMs: Int? = nil
    ) {
        self.id = id
        self.command = command
        self.cwd = cwd
        self.host = host
        self.security = security
        self.ask = ask
        self.agentId = agentId
        self.resolvedPath = resolvedPath
        self.sessionKey = sessionKey
        self.timeoutMs = timeoutMs
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case command = "command"
        case cwd = "cwd"
        case host = "host"
        case security = "security"
        case ask = "ask"
        case agentId = "agentId"
        case resolvedPath = "resolvedPath"
        case sessionKey = "sessionKey"
        case timeoutMs = "timeoutMs"
    }
}

public struct ExecApprovalResolveParams: Codable, Hashable, Sendable {
    public var id: String
    public var decision: String

    public init(
        id: String,
        decision: String
    ) {
        self.id = id
        self.decision = decision
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case decision = "decision"
    }
}

public struct BrowserRequestParams: Codable, Hashable, Sendable {
    public var method: String
    public var path: String
    public var query: JSONValue?
    public var body: JSONValue?
    public var timeoutMs: Int?

    public init(
        method: String,
        path: String,
        query: JSONValue? = nil,
        body: JSONValue? = nil,
        timeoutMs: Int? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.body = body
        self.timeoutMs = timeoutMs
    }

    private enum CodingKeys: String, CodingKey {
        case method = "method"
        case path = "path"
        case query = "query"
        case body = "body"
        case timeoutMs = "timeoutMs"
    }
}

public struct ChannelsStatusParams: Codable, Hashable, Sendable {
    public var probe: Bool?
    public var timeoutMs: Int?

    public init(
        probe: Bool? = nil,
        timeoutMs: Int? = nil
    ) {
        self.probe = probe
        self.timeoutMs = timeoutMs
    }

    private enum CodingKeys: String, CodingKey {
        case probe = "probe"
        case timeoutMs = "timeoutMs"
    }
}

public struct ChannelsLogoutParams: Codable, Hashable, Sendable {
    public var channel: String
    public var accountId: String?

    public init(
        channel: String,
        accountId: String? = nil
    ) {
        self.channel = channel
        self.accountId = accountId
    }

    private enum CodingKeys: String, CodingKey {
        case channel = "channel"
        case accountId = "accountId"
    }
}

public struct SendParams: Codable, Hashable, Sendable {
    public var to: String
    public var message: String
    public var mediaUrl: String?
    public var mediaUrls: [String]?
    public var gifPlayback: Bool?
    public var channel: String?
    public var accountId: String?
    public var sessionKey: String?
    public var idempotencyKey: String

    public init(
        to: String,
        message: String,
        mediaUrl: String? = nil,
        mediaUrls: [String]? = nil,
        gifPlayback: Bool? = nil,
        channel: String? = nil,
        accountId: String? = nil,
        sessionKey: String? = nil,
        idempotencyKey: String
    ) {
        self.to = to
        self.message = message
        self.mediaUrl = mediaUrl
        self.mediaUrls = mediaUrls
        self.gifPlayback = gifPlayback
        self.channel = channel
        self.accountId = accountId
        self.sessionKey = sessionKey
        self.idempotencyKey = idempotencyKey
    }

    private enum CodingKeys: String, CodingKey {
        case to = "to"
        case message = "message"
        case mediaUrl = "mediaUrl"
        case mediaUrls = "mediaUrls"
        case gifPlayback = "gifPlayback"
        case channel = "channel"
        case accountId = "accountId"
        case sessionKey = "sessionKey"
        case idempotencyKey = "idempotencyKey"
    }
}

public struct PollParams: Codable, Hashable, Sendable {
    public var to: String
    public var question: String
    public var options: [String]
    public var maxSelections: Int?
    public var durationHours: Int?
    public var channel: String?
    public var accountId: String?
    public var idempotencyKey: String

    public init(
        to: String,
        question: String,
        options: [String],
        maxSelections: Int? = nil,
        durationHours: Int? = nil,
        channel: String? = nil,
        accountId: String? = nil,
        idempotencyKey: String
    ) {
        self.to = to
        self.question = question
        self.options = options
        self.maxSelections = maxSelections
        self.durationHours = durationHours
        self.channel = channel
        self.accountId = accountId
        self.idempotencyKey = idempotencyKey
    }

    private enum CodingKeys: String, CodingKey {
        case to = "to"
        case question = "question"
        case options = "options"
        case maxSelections = "maxSelections"
        case durationHours = "durationHours"
        case channel = "channel"
        case accountId = "accountId"
        case idempotencyKey = "idempotencyKey"
    }
}

public struct WebLoginStartParams: Codable, Hashable, Sendable {
    public var force: Bool?
    public var timeoutMs: Int?
    public var verbose: Bool?
    public var accountId: String?

    public init(
        force: Bool? = nil,
        timeoutMs: Int? = nil,
        verbose: Bool? = nil,
        accountId: String? = nil
    ) {
        self.force = force
        self.timeoutMs = timeoutMs
        self.verbose = verbose
        self.accountId = accountId
    }

    private enum CodingKeys: String, CodingKey {
        case force = "force"
        case timeoutMs = "timeoutMs"
        case verbose = "verbose"
        case accountId = "accountId"
    }
}

public struct WebLoginWaitParams: Codable, Hashable, Sendable {
    public var timeoutMs: Int?
    public var accountId: String?

    public init(
        timeoutMs: Int? = nil,
        accountId: String? = nil
    ) {
        self.timeoutMs = timeoutMs
        self.accountId = accountId
    }

    private enum CodingKeys: String, CodingKey {
        case timeoutMs = "timeoutMs"
        case accountId = "accountId"
    }
}

public struct ChatHistoryParams: Codable, Hashable, Sendable {
    public var sessionKey: String
    public var limit: Int?

    public init(
        sessionKey: String,
        limit: Int? = nil
    ) {
        self.sessionKey = sessionKey
        self.limit = limit
    }

    private enum CodingKeys: String, CodingKey {
        case sessionKey = "sessionKey"
        case limit = "limit"
    }
}

public struct ChatSendParams: Codable, Hashable, Sendable {
    public var sessionKey: String
    public var message: String
    public var thinking: String?
    public var deliver: Bool?
    public var attachments: [JSONValue]?
    public var timeoutMs: Int?
    public var idempotencyKey: String

    public init(
        sessionKey: String,
        message: String,
        thinking: String? = nil,
        deliver: Bool? = nil,
        attachments: [JSONValue]? = nil,
        timeoutMs: Int? = nil,
        idempotencyKey: String
    ) {
        self.sessionKey = sessionKey
        self.message = message
        self.thinking = thinking
        self.deliver = deliver
        self.attachments = attachments
        self.timeoutMs = timeoutMs
        self.idempotencyKey = idempotencyKey
    }

    private enum CodingKeys: String, CodingKey {
        case sessionKey = "sessionKey"
        case message = "message"
        case thinking = "thinking"
        case deliver = "deliver"
        case attachments = "attachments"
        case timeoutMs = "timeoutMs"
        case idempotencyKey = "idempotencyKey"
    }
}

public struct ChatAbortParams: Codable, Hashable, Sendable {
    public var sessionKey: String
    public var runId: String?

    public init(
        sessionKey: String,
        runId: String? = nil
    ) {
        self.sessionKey = sessionKey
        self.runId = runId
    }

    private enum CodingKeys: String, CodingKey {
        case sessionKey = "sessionKey"
        case runId = "runId"
    }
}

public struct ChatInjectParams: Codable, Hashable, Sendable {
    public var sessionKey: String
    public var message: String
    public var label: String?

    public init(
        sessionKey: String,
        message: String,
        label: String? = nil
    ) {
        self.sessionKey = sessionKey
        self.message = message
        self.label = label
    }

    private enum CodingKeys: String, CodingKey {
        case sessionKey = "sessionKey"
        case message = "message"
        case label = "label"
    }
}

public struct ConfigGetParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct ConfigSchemaParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct ConfigSetParams: Codable, Hashable, Sendable {
    public var raw: String
    public var baseHash: String?

    public init(
        raw: String,
        baseHash: String? = nil
    ) {
        self.raw = raw
        self.baseHash = baseHash
    }

    private enum CodingKeys: String, CodingKey {
        case raw = "raw"
        case baseHash = "baseHash"
    }
}

public struct ConfigApplyParams: Codable, Hashable, Sendable {
    public var raw: String
    public var baseHash: String?
    public var sessionKey: String?
    public var note: String?
    public var restartDelayMs: Int?

    public init(
        raw: String,
        baseHash: String? = nil,
        sessionKey: String? = nil,
        note: String? = nil,
        restartDelayMs: Int? = nil
    ) {
        self.raw = raw
        self.baseHash = baseHash
        self.sessionKey = sessionKey
        self.note = note
        self.restartDelayMs = restartDelayMs
    }

    private enum CodingKeys: String, CodingKey {
        case raw = "raw"
        case baseHash = "baseHash"
        case sessionKey = "sessionKey"
        case note = "note"
        case restartDelayMs = "restartDelayMs"
    }
}

public struct ConfigPatchParams: Codable, Hashable, Sendable {
    public var raw: String
    public var baseHash: String?
    public var sessionKey: String?
    public var note: String?
    public var restartDelayMs: Int?

    public init(
        raw: String,
        baseHash: String? = nil,
        sessionKey: String? = nil,
        note: String? = nil,
        restartDelayMs: Int? = nil
    ) {
        self.raw = raw
        self.baseHash = baseHash
        self.sessionKey = sessionKey
        self.note = note
        self.restartDelayMs = restartDelayMs
    }

    private enum CodingKeys: String, CodingKey {
        case raw = "raw"
        case baseHash = "baseHash"
        case sessionKey = "sessionKey"
        case note = "note"
        case restartDelayMs = "restartDelayMs"
    }
}

public struct UpdateRunParams: Codable, Hashable, Sendable {
    public var sessionKey: String?
    public var note: String?
    public var restartDelayMs: Int?
    public var timeoutMs: Int?

    public init(
        sessionKey: String? = nil,
        note: String? = nil,
        restartDelayMs: Int? = nil,
        timeoutMs: Int? = nil
    ) {
        self.sessionKey = sessionKey
        self.note = note
        self.restartDelayMs = restartDelayMs
        self.timeoutMs = timeoutMs
    }

    private enum CodingKeys: String, CodingKey {
        case sessionKey = "sessionKey"
        case note = "note"
        case restartDelayMs = "restartDelayMs"
        case timeoutMs = "timeoutMs"
    }
}

public struct CronJobScheduleAt: Codable, Hashable, Sendable {
    public var kind: String
    public var atMs: Int

    public init(
        kind: String = "at",
        atMs: Int
    ) {
        self.kind = kind
        self.atMs = atMs
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
        case atMs = "atMs"
    }
}

public struct CronJobScheduleEvery: Codable, Hashable, Sendable {
    public var kind: String
    public var everyMs: Int
    public var anchorMs: Int?

    public init(
        kind: String = "every",
        everyMs: Int,
        anchorMs: Int? = nil
    ) {
        self.kind = kind
        self.everyMs = everyMs
        self.anchorMs = anchorMs
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
        case everyMs = "everyMs"
        case anchorMs = "anchorMs"
    }
}

public struct CronJobScheduleCron: Codable, Hashable, Sendable {
    public var kind: String
    public var expr: String
    public var tz: String?

    public init(
        kind: String = "cron",
        expr: String,
        tz: String? = nil
    ) {
        self.kind = kind
        self.expr = expr
        self.tz = tz
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
        case expr = "expr"
        case tz = "tz"
    }
}

public enum CronJobSchedule: Codable, Hashable, Sendable {
    case at(CronJobScheduleAt)
    case every(CronJobScheduleEvery)
    case cron(CronJobScheduleCron)

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(String.self, forKey: .kind) {
        case "at": self = .at(try CronJobScheduleAt(from: decoder))
        case "every": self = .every(try CronJobScheduleEvery(from: decoder))
        case "cron": self = .cron(try CronJobScheduleCron(from: decoder))
        default: throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "unknown kind of CronJobSchedule"))
        }
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .at(let value): try value.encode(to: encoder)
        case .every(let value): try value.encode(to: encoder)
        case .cron(let value): try value.encode(to: encoder)
        }
    }
}

public struct CronJobSessionTarget: RawRepresentable, Codable, Hashable, Sendable {
    public static let main = Self(rawValue: "main")
    public static let isolated = Self(rawValue: "isolated")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct CronJobWakeMode: RawRepresentable, Codable, Hashable, Sendable {
    public static let nextHeartbeat = Self(rawValue: "next-heartbeat")
    public static let now = Self(rawValue: "now")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct CronJobPayloadSystemEvent: Codable, Hashable, Sendable {
    public var kind: String
    public var text: String

    public init(
        kind: String = "systemEvent",
        text: String
    ) {
        self.kind = kind
        self.text = text
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
        case text = "text"
    }
}

public struct CronJobPayloadAgentTurn: Codable, Hashable, Sendable {
    public var kind: String
    public var message: String
    public var model: String?
    public var thinking: String?
    public var timeoutSeconds: Int?
    public var deliver: Bool?
    public var channel: String?
    public var to: String?
    public var bestEffortDeliver: Bool?

    public init(
        kind: String = "agentTurn",
        message: String,
        model: String? = nil,
        thinking: String? = nil,
        timeoutSeconds: Int? = nil,
        deliver: Bool? = nil,
        channel: String? = nil,
        to: String? = nil,
        bestEffortDeliver: Bool? = nil
    ) {
        self.kind = kind
        self.message = message
        self.model = model
        self.thinking = thinking
        self.timeoutSeconds = timeoutSeconds
        self.deliver = deliver
        self.channel = channel
        self.to = to
        self.bestEffortDeliver = bestEffortDeliver
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
        case message = "message"
        case model = "model"
        case thinking = "thinking"
        case timeoutSeconds = "timeoutSeconds"
        case deliver = "deliver"
        case channel = "channel"
        case to = "to"
        case bestEffortDeliver = "bestEffortDeliver"
    }
}

public enum CronJobPayload: Codable, Hashable, Sendable {
    case systemEvent(CronJobPayloadSystemEvent)
    case agentTurn(CronJobPayloadAgentTurn)

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(String.self, forKey: .kind) {
        case "systemEvent": self = .systemEvent(try CronJobPayloadSystemEvent(from: decoder))
        case "agentTurn": self = .agentTurn(try CronJobPayloadAgentTurn(from: decoder))
        default: throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "unknown kind of CronJobPayload"))
        }
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .systemEvent(let value): try value.encode(to: encoder)
        case .agentTurn(let value): try value.encode(to: encoder)
        }
    }
}

public struct CronJobIsolationPostToMainMode: RawRepresentable, Codable, Hashable, Sendable {
    public static let summary = Self(rawValue: "summary")
    public static let full = Self(rawValue: "full")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct CronJobIsolation: Codable, Hashable, Sendable {
    public var postToMainPrefix: String?
    public var postToMainMode: CronJobIsolationPostToMainMode?
    public var postToMainMaxChars: Int?

    public init(
        postToMainPrefix: String? = nil,
        postToMainMode: CronJobIsolationPostToMainMode? = nil,
        postToMainMaxChars: Int? = nil
    ) {
        self.postToMainPrefix = postToMainPrefix
        self.postToMainMode = postToMainMode
        self.postToMainMaxChars = postToMainMaxChars
    }

    private enum CodingKeys: String, CodingKey {
        case postToMainPrefix = "postToMainPrefix"
        case postToMainMode = "postToMainMode"
        case postToMainMaxChars = "postToMainMaxChars"
    }
}

public struct CronJobState: Codable, Hashable, Sendable {
    public var nextRunAtMs: Int?
    public var runningAtMs: Int?
    public var lastRunAtMs: Int?
    public var lastStatus: CronRunLogEntryStatus?
    public var lastError: String?
    public var lastDurationMs: Int?

    public init(
        nextRunAtMs: Int? = nil,
        runningAtMs: Int? = nil,
        lastRunAtMs: Int? = nil,
        lastStatus: CronRunLogEntryStatus? = nil,
        lastError: String? = nil,
        lastDurationMs: Int? = nil
    ) {
        self.nextRunAtMs = nextRunAtMs
        self.runningAtMs = runningAtMs
        self.lastRunAtMs = lastRunAtMs
        self.lastStatus = lastStatus
        self.lastError = lastError
        self.lastDurationMs = lastDurationMs
    }

    private enum CodingKeys: String, CodingKey {
        case nextRunAtMs = "nextRunAtMs"
        case runningAtMs = "runningAtMs"
        case lastRunAtMs = "lastRunAtMs"
        case lastStatus = "lastStatus"
        case lastError = "lastError"
        case lastDurationMs = "lastDurationMs"
    }
}

public struct CronJob: Codable, Hashable, Sendable {
    public var id: String
    public var agentId: String?
    public var name: String
    public var description: String?
    public var enabled: Bool
    public var deleteAfterRun: Bool?
    public var createdAtMs: Int
    public var updatedAtMs: Int
    public var schedule: CronJobSchedule
    public var sessionTarget: CronJobSessionTarget
    public var wakeMode: CronJobWakeMode
    public var payload: CronJobPayload
    public var isolation: CronJobIsolation?
    public var state: CronJobState

    public init(
        id: String,
        agentId: String? = nil,
        name: String,
        description: String? = nil,
        enabled: Bool,
        deleteAfterRun: Bool? = nil,
        createdAtMs: Int,
        updatedAtMs: Int,
        schedule: CronJobSchedule,
        sessionTarget: CronJobSessionTarget,
        wakeMode: CronJobWakeMode,
        payload: CronJobPayload,
        isolation: CronJobIsolation? = nil,
        state: CronJobState
    ) {
        self.id = id
        self.agentId = agentId
        self.name = name
        self.description = description
        self.enabled = enabled
        self.deleteAfterRun = deleteAfterRun
        self.createdAtMs = createdAtMs
        self.updatedAtMs = updatedAtMs
        self.schedule = schedule
        self.sessionTarget = sessionTarget
        self.wakeMode = wakeMode
        self.payload = payload
        self.isolation = isolation
        self.state = state
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case agentId = "agentId"
        case name = "name"
        case description = "description"
        case enabled = "enabled"
        case deleteAfterRun = "deleteAfterRun"
        case createdAtMs = "createdAtMs"
        case updatedAtMs = "updatedAtMs"
        case schedule = "schedule"
        case sessionTarget = "sessionTarget"
        case wakeMode = "wakeMode"
        case payload = "payload"
        case isolation = "isolation"
        case state = "state"
    }
}

public struct CronListParams: Codable, Hashable, Sendable {
    public var includeDisabled: Bool?

    public init(
        includeDisabled: Bool? = nil
    ) {
        self.includeDisabled = includeDisabled
    }

    private enum CodingKeys: String, CodingKey {
        case includeDisabled = "includeDisabled"
    }
}

public struct CronStatusParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct CronAddParams: Codable, Hashable, Sendable {
    public var name: String
    public var agentId: Nullable<String>?
    public var description: String?
    public var enabled: Bool?
    public var deleteAfterRun: Bool?
    public var schedule: CronJobSchedule
    public var sessionTarget: CronJobSessionTarget
    public var wakeMode: CronJobWakeMode
    public var payload: CronJobPayload
    public var isolation: CronJobIsolation?

    public init(
        name: String,
        agentId: Nullable<String>? = nil,
        description: String? = nil,
        enabled: Bool? = nil,
        deleteAfterRun: Bool? = nil,
        schedule: CronJobSchedule,
        sessionTarget: CronJobSessionTarget,
        wakeMode: CronJobWakeMode,
        payload: CronJobPayload,
        isolation: CronJobIsolation? = nil
    ) {
        self.name = name
        self.agentId = agentId
        self.description = description
        self.enabled = enabled
        self.deleteAfterRun = deleteAfterRun
        self.schedule = schedule
        self.sessionTarget = sessionTarget
        self.wakeMode = wakeMode
        self.payload = payload
        self.isolation = isolation
    }

    private enum CodingKeys: String, CodingKey {
        case name = "name"
        case agentId = "agentId"
        case description = "description"
        case enabled = "enabled"
        case deleteAfterRun = "deleteAfterRun"
        case schedule = "schedule"
        case sessionTarget = "sessionTarget"
        case wakeMode = "wakeMode"
        case payload = "payload"
        case isolation = "isolation"
    }
}

public struct CronUpdateParamsIdPatchPayloadSystemEvent: Codable, Hashable, Sendable {
    public var kind: String
    public var text: String?

    public init(
        kind: String = "systemEvent",
        text: String? = nil
    ) {
        self.kind = kind
        self.text = text
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
        case text = "text"
    }
}

public struct CronUpdateParamsIdPatchPayloadAgentTurn: Codable, Hashable, Sendable {
    public var kind: String
    public var message: String?
    public var model: String?
    public var thinking: String?
    public var timeoutSeconds: Int?
    public var deliver: Bool?
    public var channel: String?
    public var to: String?
    public var bestEffortDeliver: Bool?

    public init(
        kind: String = "agentTurn",
        message: String? = nil,
        model: String? = nil,
        thinking: String? = nil,
        timeoutSeconds: Int? = nil,
        deliver: Bool? = nil,
        channel: String? = nil,
        to: String? = nil,
        bestEffortDeliver: Bool? = nil
    ) {
        self.kind = kind
        self.message = message
        self.model = model
        self.thinking = thinking
        self.timeoutSeconds = timeoutSeconds
        self.deliver = deliver
        self.channel = channel
        self.to = to
        self.bestEffortDeliver = bestEffortDeliver
    }

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
        case message = "message"
        case model = "model"
        case thinking = "thinking"
        case timeoutSeconds = "timeoutSeconds"
        case deliver = "deliver"
        case channel = "channel"
        case to = "to"
        case bestEffortDeliver = "bestEffortDeliver"
    }
}

public enum CronUpdateParamsIdPatchPayload: Codable, Hashable, Sendable {
    case systemEvent(CronUpdateParamsIdPatchPayloadSystemEvent)
    case agentTurn(CronUpdateParamsIdPatchPayloadAgentTurn)

    private enum CodingKeys: String, CodingKey {
        case kind = "kind"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(String.self, forKey: .kind) {
        case "systemEvent": self = .systemEvent(try CronUpdateParamsIdPatchPayloadSystemEvent(from: decoder))
        case "agentTurn": self = .agentTurn(try CronUpdateParamsIdPatchPayloadAgentTurn(from: decoder))
        default: throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "unknown kind of CronUpdateParamsIdPatchPayload"))
        }
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .systemEvent(let value): try value.encode(to: encoder)
        case .agentTurn(let value): try value.encode(to: encoder)
        }
    }
}

public struct CronUpdateParamsIdPatch: Codable, Hashable, Sendable {
    public var name: String?
    public var agentId: Nullable<String>?
    public var description: String?
    public var enabled: Bool?
    public var deleteAfterRun: Bool?
    public var schedule: CronJobSchedule?
    public var sessionTarget: CronJobSessionTarget?
    public var wakeMode: CronJobWakeMode?
    public var payload: CronUpdateParamsIdPatchPayload?
    public var isolation: CronJobIsolation?
    public var state: CronJobState?

    public init(
        name: String? = nil,
        agentId: Nullable<String>? = nil,
        description: String? = nil,
        enabled: Bool? = nil,
        deleteAfterRun: Bool? = nil,
        schedule: CronJobSchedule? = nil,
        sessionTarget: CronJobSessionTarget? = nil,
        wakeMode: CronJobWakeMode? = nil,
        payload: CronUpdateParamsIdPatchPayload? = nil,
        isolation: CronJobIsolation? = nil,
        state: CronJobState? = nil
    ) {
        self.name = name
        self.agentId = agentId
        self.description = description
        self.enabled = enabled
        self.deleteAfterRun = deleteAfterRun
        self.schedule = schedule
        self.sessionTarget = sessionTarget
        self.wakeMode = wakeMode
        self.payload = payload
        self.isolation = isolation
        self.state = state
    }

    private enum CodingKeys: String, CodingKey {
        case name = "name"
        case agentId = "agentId"
        case description = "description"
        case enabled = "enabled"
        case deleteAfterRun = "deleteAfterRun"
        case schedule = "schedule"
        case sessionTarget = "sessionTarget"
        case wakeMode = "wakeMode"
        case payload = "payload"
        case isolation = "isolation"
        case state = "state"
    }
}

public struct CronUpdateParamsId: Codable, Hashable, Sendable {
    public var id: String
    public var patch: CronUpdateParamsIdPatch

    public init(
        id: String,
        patch: CronUpdateParamsIdPatch
    ) {
        self.id = id
        self.patch = patch
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case patch = "patch"
    }
}

public struct CronUpdateParamsJobId: Codable, Hashable, Sendable {
    public var jobId: String
    public var patch: CronUpdateParamsIdPatch

    public init(
        jobId: String,
        patch: CronUpdateParamsIdPatch
    ) {
        self.jobId = jobId
        self.patch = patch
    }

    private enum CodingKeys: String, CodingKey {
        case jobId = "jobId"
        case patch = "patch"
    }
}

public enum CronUpdateParams: Codable, Hashable, Sendable {
    case id(CronUpdateParamsId)
    case jobId(CronUpdateParamsJobId)

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case jobId = "jobId"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if container.contains(.id) {
            self = .id(try CronUpdateParamsId(from: decoder))
            return
        }
        if container.contains(.jobId) {
            self = .jobId(try CronUpdateParamsJobId(from: decoder))
            return
        }
        throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "no CronUpdateParams"))
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .id(let value): try value.encode(to: encoder)
        case .jobId(let value): try value.encode(to: encoder)
        }
    }
}

public struct CronRemoveParamsId: Codable, Hashable, Sendable {
    public var id: String

    public init(
        id: String
    ) {
        self.id = id
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
    }
}

public struct CronRemoveParamsJobId: Codable, Hashable, Sendable {
    public var jobId: String

    public init(
        jobId: String
    ) {
        self.jobId = jobId
    }

    private enum CodingKeys: String, CodingKey {
        case jobId = "jobId"
    }
}

public enum CronRemoveParams: Codable, Hashable, Sendable {
    case id(CronRemoveParamsId)
    case jobId(CronRemoveParamsJobId)

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case jobId = "jobId"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if container.contains(.id) {
            self = .id(try CronRemoveParamsId(from: decoder))
            return
        }
        if container.contains(.jobId) {
            self = .jobId(try CronRemoveParamsJobId(from: decoder))
            return
        }
        throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "no CronRemoveParams"))
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .id(let value): try value.encode(to: encoder)
        case .jobId(let value): try value.encode(to: encoder)
        }
    }
}

public struct CronRunParamsIdMode: RawRepresentable, Codable, Hashable, Sendable {
    public static let due = Self(rawValue: "due")
    public static let force = Self(rawValue: "force")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct CronRunParamsId: Codable, Hashable, Sendable {
    public var id: String
    public var mode: CronRunParamsIdMode?

    public init(
        id: String,
        mode: CronRunParamsIdMode? = nil
    ) {
        self.id = id
        self.mode = mode
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case mode = "mode"
    }
}

public struct CronRunParamsJobId: Codable, Hashable, Sendable {
    public var jobId: String
    public var mode: CronRunParamsIdMode?

    public init(
        jobId: String,
        mode: CronRunParamsIdMode? = nil
    ) {
        self.jobId = jobId
        self.mode = mode
    }

    private enum CodingKeys: String, CodingKey {
        case jobId = "jobId"
        case mode = "mode"
    }
}

public enum CronRunParams: Codable, Hashable, Sendable {
    case id(CronRunParamsId)
    case jobId(CronRunParamsJobId)

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case jobId = "jobId"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if container.contains(.id) {
            self = .id(try CronRunParamsId(from: decoder))
            return
        }
        if container.contains(.jobId) {
            self = .jobId(try CronRunParamsJobId(from: decoder))
            return
        }
        throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "no CronRunParams"))
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .id(let value): try value.encode(to: encoder)
        case .jobId(let value): try value.encode(to: encoder)
        }
    }
}

public struct CronRunsParamsId: Codable, Hashable, Sendable {
    public var id: String
    public var limit: Int?

    public init(
        id: String,
        limit: Int? = nil
    ) {
        self.id = id
        self.limit = limit
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case limit = "limit"
    }
}

public struct CronRunsParamsJobId: Codable, Hashable, Sendable {
    public var jobId: String
    public var limit: Int?

    public init(
        jobId: String,
        limit: Int? = nil
    ) {
        self.jobId = jobId
        self.limit = limit
    }

    private enum CodingKeys: String, CodingKey {
        case jobId = "jobId"
        case limit = "limit"
    }
}

public enum CronRunsParams: Codable, Hashable, Sendable {
    case id(CronRunsParamsId)
    case jobId(CronRunsParamsJobId)

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case jobId = "jobId"
    }

    public init(from decoder: Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if container.contains(.id) {
            self = .id(try CronRunsParamsId(from: decoder))
            return
        }
        if container.contains(.jobId) {
            self = .jobId(try CronRunsParamsJobId(from: decoder))
            return
        }
        throw DecodingError.dataCorrupted(
            DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "no CronRunsParams"))
    }

    public func encode(to encoder: Encoder) throws {
        switch self {
        case .id(let value): try value.encode(to: encoder)
        case .jobId(let value): try value.encode(to: encoder)
        }
    }
}

public struct DevicePairListParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct DevicePairApproveParams: Codable, Hashable, Sendable {
    public var requestId: String

    public init(
        requestId: String
    ) {
        self.requestId = requestId
    }

    private enum CodingKeys: String, CodingKey {
        case requestId = "requestId"
    }
}

public struct DevicePairRejectParams: Codable, Hashable, Sendable {
    public var requestId: String

    public init(
        requestId: String
    ) {
        self.requestId = requestId
    }

    private enum CodingKeys: String, CodingKey {
        case requestId = "requestId"
    }
}

public struct DeviceTokenRotateParams: Codable, Hashable, Sendable {
    public var deviceId: String
    public var role: String
    public var scopes: [String]?

    public init(
        deviceId: String,
        role: String,
        scopes: [String]? = nil
    ) {
        self.deviceId = deviceId
        self.role = role
        self.scopes = scopes
    }

    private enum CodingKeys: String, CodingKey {
        case deviceId = "deviceId"
        case role = "role"
        case scopes = "scopes"
    }
}

public struct DeviceTokenRevokeParams: Codable, Hashable, Sendable {
    public var deviceId: String
    public var role: String

    public init(
        deviceId: String,
        role: String
    ) {
        self.deviceId = deviceId
        self.role = role
    }

    private enum CodingKeys: String, CodingKey {
        case deviceId = "deviceId"
        case role = "role"
    }
}

public struct NodePairRequestParams: Codable, Hashable, Sendable {
    public var nodeId: String
    public var displayName: String?
    public var platform: String?
    public var version: String?
    public var coreVersion: String?
    public var uiVersion: String?
    public var deviceFamily: String?
    public var modelIdentifier: String?
    public var caps: [String]?
    public var commands: [String]?
    public var remoteIp: String?
    public var silent: Bool?

    public init(
        nodeId: String,
        displayName: String? = nil,
        platform: String? = nil,
        version: String? = nil,
        coreVersion: String? = nil,
        uiVersion: String? = nil,
        deviceFamily: String? = nil,
        modelIdentifier: String? = nil,
        caps: [String]? = nil,
        commands: [String]? = nil,
        remoteIp: String? = nil,
        silent: Bool? = nil
    ) {
        self.nodeId = nodeId
        self.displayName = displayName
        self.platform = platform
        self.version = version
        self.coreVersion = coreVersion
        self.uiVersion = uiVersion
        self.deviceFamily = deviceFamily
        self.modelIdentifier = modelIdentifier
        self.caps = caps
        self.commands = commands
        self.remoteIp = remoteIp
        self.silent = silent
    }

    private enum CodingKeys: String, CodingKey {
        case nodeId = "nodeId"
        case displayName = "displayName"
        case platform = "platform"
        case version = "version"
        case coreVersion = "coreVersion"
        case uiVersion = "uiVersion"
        case deviceFamily = "deviceFamily"
        case modelIdentifier = "modelIdentifier"
        case caps = "caps"
        case commands = "commands"
        case remoteIp = "remoteIp"
        case silent = "silent"
    }
}

public struct NodePairListParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct NodePairApproveParams: Codable, Hashable, Sendable {
    public var requestId: String

    public init(
        requestId: String
    ) {
        self.requestId = requestId
    }

    private enum CodingKeys: String, CodingKey {
        case requestId = "requestId"
    }
}

public struct NodePairRejectParams: Codable, Hashable, Sendable {
    public var requestId: String

    public init(
        requestId: String
    ) {
        self.requestId = requestId
    }

    private enum CodingKeys: String, CodingKey {
        case requestId = "requestId"
    }
}

public struct NodePairVerifyParams: Codable, Hashable, Sendable {
    public var nodeId: String
    public var token: String

    public init(
        nodeId: String,
        token: String
    ) {
        self.nodeId = nodeId
        self.token = token
    }

    private enum CodingKeys: String, CodingKey {
        case nodeId = "nodeId"
        case token = "token"
    }
}

public struct NodeRenameParams: Codable, Hashable, Sendable {
    public var nodeId: String
    public var displayName: String

    public init(
        nodeId: String,
        displayName: String
    ) {
        self.nodeId = nodeId
        self.displayName = displayName
    }

    private enum CodingKeys: String, CodingKey {
        case nodeId = "nodeId"
        case displayName = "displayName"
    }
}

public struct NodeListParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct NodeDescribeParams: Codable, Hashable, Sendable {
    public var nodeId: String

    public init(
        nodeId: String
    ) {
        self.nodeId = nodeId
    }

    private enum CodingKeys: String, CodingKey {
        case nodeId = "nodeId"
    }
}

public struct NodeInvokeParams: Codable, Hashable, Sendable {
    public var nodeId: String
    public var command: String
    public var params: JSONValue?
    public var timeoutMs: Int?
    public var idempotencyKey: String

    public init(
        nodeId: String,
        command: String,
        params: JSONValue? = nil,
        timeoutMs: Int? = nil,
        idempotencyKey: String
    ) {
        self.nodeId = nodeId
        self.command = command
        self.params = params
        self.timeoutMs = timeoutMs
        self.idempotencyKey = idempotencyKey
    }

    private enum CodingKeys: String, CodingKey {
        case nodeId = "nodeId"
        case command = "command"
        case params = "params"
        case timeoutMs = "timeoutMs"
        case idempotencyKey = "idempotencyKey"
    }
}

public struct NodeInvokeResultParamsError: Codable, Hashable, Sendable {
    public var code: String?
    public var message: String?

    public init(
        code: String? = nil,
        message: String? = nil
    ) {
        self.code = code
        self.message = message
    }

    private enum CodingKeys: String, CodingKey {
        case code = "code"
        case message = "message"
    }
}

public struct NodeInvokeResultParams: Codable, Hashable, Sendable {
    public var id: String
    public var nodeId: String
    public var ok: Bool
    public var payload: JSONValue?
    public var payloadJSON: String?
    public var error: NodeInvokeResultParamsError?

    public init(
        id: String,
        nodeId: String,
        ok: Bool,
        payload: JSONValue? = nil,
        payloadJSON: String? = nil,
        error: NodeInvokeResultParamsError? = nil
    ) {
        self.id = id
        self.nodeId = nodeId
        self.ok = ok
        self.payload = payload
        self.payloadJSON = payloadJSON
        self.error = error
    }

    private enum CodingKeys: String, CodingKey {
        case id = "id"
        case nodeId = "nodeId"
        case ok = "ok"
        case payload = "payload"
        case payloadJSON = "payloadJSON"
        case error = "error"
    }
}

public struct NodeEventParams: Codable, Hashable, Sendable {
    public var event: String
    public var payload: JSONValue?
    public var payloadJSON: String?

    public init(
        event: String,
        payload: JSONValue? = nil,
        payloadJSON: String? = nil
    ) {
        self.event = event
        self.payload = payload
        self.payloadJSON = payloadJSON
    }

    private enum CodingKeys: String, CodingKey {
        case event = "event"
        case payload = "payload"
        case payloadJSON = "payloadJSON"
    }
}

public struct SessionsListParams: Codable, Hashable, Sendable {
    public var limit: Int?
    public var activeMinutes: Int?
    public var includeGlobal: Bool?
    public var includeUnknown: Bool?
    public var includeDerivedTitles: Bool?
    public var includeLastMessage: Bool?
    public var label: String?
    public var spawnedBy: String?
    public var agentId: String?
    public var search: String?

    public init(
        limit: Int? = nil,
        activeMinutes: Int? = nil,
        includeGlobal: Bool? = nil,
        includeUnknown: Bool? = nil,
        includeDerivedTitles: Bool? = nil,
        includeLastMessage: Bool? = nil,
        label: String? = nil,
        spawnedBy: String? = nil,
        agentId: String? = nil,
        search: String? = nil
    ) {
        self.limit = limit
        self.activeMinutes = activeMinutes
        self.includeGlobal = includeGlobal
        self.includeUnknown = includeUnknown
        self.includeDerivedTitles = includeDerivedTitles
        self.includeLastMessage = includeLastMessage
        self.label = label
        self.spawnedBy = spawnedBy
        self.agentId = agentId
        self.search = search
    }

    private enum CodingKeys: String, CodingKey {
        case limit = "limit"
        case activeMinutes = "activeMinutes"
        case includeGlobal = "includeGlobal"
        case includeUnknown = "includeUnknown"
        case includeDerivedTitles = "includeDerivedTitles"
        case includeLastMessage = "includeLastMessage"
        case label = "label"
        case spawnedBy = "spawnedBy"
        case agentId = "agentId"
        case search = "search"
    }
}

public struct SessionsPreviewParams: Codable, Hashable, Sendable {
    public var keys: [String]
    public var limit: Int?
    public var maxChars: Int?

    public init(
        keys: [String],
        limit: Int? = nil,
        maxChars: Int? = nil
    ) {
        self.keys = keys
        self.limit = limit
        self.maxChars = maxChars
    }

    private enum CodingKeys: String, CodingKey {
        case keys = "keys"
        case limit = "limit"
        case maxChars = "maxChars"
    }
}

public struct SessionsResetParams: Codable, Hashable, Sendable {
    public var key: String

    public init(
        key: String
    ) {
        self.key = key
    }

    private enum CodingKeys: String, CodingKey {
        case key = "key"
    }
}

public struct SessionsResolveParams: Codable, Hashable, Sendable {
    public var key: String?
    public var sessionId: String?
    public var label: String?
    public var agentId: String?
    public var spawnedBy: String?
    public var includeGlobal: Bool?
    public var includeUnknown: Bool?

    public init(
        key: String? = nil,
        sessionId: String? = nil,
        label: String? = nil,
        agentId: String? = nil,
        spawnedBy: String? = nil,
        includeGlobal: Bool? = nil,
        includeUnknown: Bool? = nil
    ) {
        self.key = key
        self.sessionId = sessionId
        self.label = label
        self.agentId = agentId
        self.spawnedBy = spawnedBy
        self.includeGlobal = includeGlobal
        self.includeUnknown = includeUnknown
    }

    private enum CodingKeys: String, CodingKey {
        case key = "key"
        case sessionId = "sessionId"
        case label = "label"
        case agentId = "agentId"
        case spawnedBy = "spawnedBy"
        case includeGlobal = "includeGlobal"
        case includeUnknown = "includeUnknown"
    }
}

public struct SessionsPatchParams: Codable, Hashable, Sendable {
    public var key: String
    public var label: Nullable<String>?
    public var thinkingLevel: Nullable<String>?
    public var verboseLevel: Nullable<String>?
    public var reasoningLevel: Nullable<String>?
    public var responseUsage: Nullable<JSONValue>?
    public var elevatedLevel: Nullable<String>?
    public var execHost: Nullable<String>?
    public var execSecurity: Nullable<String>?
    public var execAsk: Nullable<String>?
    public var execNode: Nullable<String>?
    public var model: Nullable<String>?
    public var spawnedBy: Nullable<String>?
    public var sendPolicy: Nullable<JSONValue>?
    public var groupActivation: Nullable<JSONValue>?

    public init(
        key: String,
        label: Nullable<String>? = nil,
        thinkingLevel: Nullable<String>? = nil,
        verboseLevel: Nullable<String>? = nil,
        reasoningLevel: Nullable<String>? = nil,
        responseUsage: Nullable<JSONValue>? = nil,
        elevatedLevel: Nullable<String>? = nil,
        execHost: Nullable<String>? = nil,
        execSecurity: Nullable<String>? = nil,
        execAsk: Nullable<String>? = nil,
        execNode: Nullable<String>? = nil,
        model: Nullable<String>? = nil,
        spawnedBy: Nullable<String>? = nil,
        sendPolicy: Nullable<JSONValue>? = nil,
        groupActivation: Nullable<JSONValue>? = nil
    ) {
        self.key = key
        self.label = label
        self.thinkingLevel = thinkingLevel
        self.verboseLevel = verboseLevel
        self.reasoningLevel = reasoningLevel
        self.responseUsage = responseUsage
        self.elevatedLevel = elevatedLevel
        self.execHost = execHost
        self.execSecurity = execSecurity
        self.execAsk = execAsk
        self.execNode = execNode
        self.model = model
        self.spawnedBy = spawnedBy
        self.sendPolicy = sendPolicy
        self.groupActivation = groupActivation
    }

    private enum CodingKeys: String, CodingKey {
        case key = "key"
        case label = "label"
        case thinkingLevel = "thinkingLevel"
        case verboseLevel = "verboseLevel"
        case reasoningLevel = "reasoningLevel"
        case responseUsage = "responseUsage"
        case elevatedLevel = "elevatedLevel"
        case execHost = "execHost"
        case execSecurity = "execSecurity"
        case execAsk = "execAsk"
        case execNode = "execNode"
        case model = "model"
        case spawnedBy = "spawnedBy"
        case sendPolicy = "sendPolicy"
        case groupActivation = "groupActivation"
    }
}

public struct SessionsDeleteParams: Codable, Hashable, Sendable {
    public var key: String
    public var deleteTranscript: Bool?

    public init(
        key: String,
        deleteTranscript: Bool? = nil
    ) {
        self.key = key
        self.deleteTranscript = deleteTranscript
    }

    private enum CodingKeys: String, CodingKey {
        case key = "key"
        case deleteTranscript = "deleteTranscript"
    }
}

public struct SessionsCompactParams: Codable, Hashable, Sendable {
    public var key: String
    public var maxLines: Int?

    public init(
        key: String,
        maxLines: Int? = nil
    ) {
        self.key = key
        self.maxLines = maxLines
    }

    private enum CodingKeys: String, CodingKey {
        case key = "key"
        case maxLines = "maxLines"
    }
}

public struct SkillsStatusParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct SkillsBinsParams: Codable, Hashable, Sendable {
    public init() {}
}

public struct SkillsInstallParams: Codable, Hashable, Sendable {
    public var name: String
    public var installId: String
    public var timeoutMs: Int?

    public init(
        name: String,
        installId: String,
        timeoutMs: Int? = nil
    ) {
        self.name = name
        self.installId = installId
        self.timeoutMs = timeoutMs
    }

    private enum CodingKeys: String, CodingKey {
        case name = "name"
        case installId = "installId"
        case timeoutMs = "timeoutMs"
    }
}

public struct SkillsUpdateParams: Codable, Hashable, Sendable {
    public var skillKey: String
    public var enabled: Bool?
    public var apiKey: String?
    public var env: [String: String]?

    public init(
        skillKey: String,
        enabled: Bool? = nil,
        apiKey: String? = nil,
        env: [String: String]? = nil
    ) {
        self.skillKey = skillKey
        self.enabled = enabled
        self.apiKey = apiKey
        self.env = env
    }

    private enum CodingKeys: String, CodingKey {
        case skillKey = "skillKey"
        case enabled = "enabled"
        case apiKey = "apiKey"
        case env = "env"
    }
}

public struct WakeParamsMode: RawRepresentable, Codable, Hashable, Sendable {
    public static let now = Self(rawValue: "now")
    public static let nextHeartbeat = Self(rawValue: "next-heartbeat")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct WakeParams: Codable, Hashable, Sendable {
    public var mode: WakeParamsMode
    public var text: String

    public init(
        mode: WakeParamsMode,
        text: String
    ) {
        self.mode = mode
        self.text = text
    }

    private enum CodingKeys: String, CodingKey {
        case mode = "mode"
        case text = "text"
    }
}

public struct LogsTailParams: Codable, Hashable, Sendable {
    public var cursor: Int?
    public var limit: Int?
    public var maxBytes: Int?

    public init(
        cursor: Int? = nil,
        limit: Int? = nil,
        maxBytes: Int? = nil
    ) {
        self.cursor = cursor
        self.limit = limit
        self.maxBytes = maxBytes
    }

    private enum CodingKeys: String, CodingKey {
        case cursor = "cursor"
        case limit = "limit"
        case maxBytes = "maxBytes"
    }
}

public struct TalkModeParams: Codable, Hashable, Sendable {
    public var enabled: Bool
    public var phase: String?

    public init(
        enabled: Bool,
        phase: String? = nil
    ) {
        self.enabled = enabled
        self.phase = phase
    }

    private enum CodingKeys: String, CodingKey {
        case enabled = "enabled"
        case phase = "phase"
    }
}

public struct WizardStartParamsMode: RawRepresentable, Codable, Hashable, Sendable {
    public static let local = Self(rawValue: "local")
    public static let remote = Self(rawValue: "remote")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

public struct WizardStartParams: Codable, Hashable, Sendable {
    public var mode: WizardStartParamsMode?
    public var workspace: String?

    public init(
        mode: WizardStartParamsMode? = nil,
        workspace: String? = nil
    ) {
        self.mode = mode
        self.workspace = workspace
    }

    private enum CodingKeys: String, CodingKey {
        case mode = "mode"
        case workspace = "workspace"
    }
}

public struct WizardNextParamsAnswer: Codable, Hashable, Sendable {
    public var stepId: String
    public var value: JSONValue?

    public init(
        stepId: String,
        value: JSONValue? = nil
    ) {
        self.stepId = stepId
        self.value = value
    }

    private enum CodingKeys: String, CodingKey {
        case stepId = "stepId"
        case value = "value"
    }
}

public struct WizardNextParams: Codable, Hashable, Sendable {
    public var sessionId: String
    public var answer: WizardNextParamsAnswer?

    public init(
        sessionId: String,
        answer: WizardNextParamsAnswer? = nil
    ) {
        self.sessionId = sessionId
        self.answer = answer
    }

    private enum CodingKeys: String, CodingKey {
        case sessionId = "sessionId"
        case answer = "answer"
    }
}

public struct WizardCancelParams: Codable, Hashable, Sendable {
    public var sessionId: String

    public init(
        sessionId: String
    ) {
        self.sessionId = sessionId
    }

    private enum CodingKeys: String, CodingKey {
        case sessionId = "sessionId"
    }
}

public struct WizardStatusParams: Codable, Hashable, Sendable {
    public var sessionId: String

    public init(
        sessionId: String
    ) {
        self.sessionId = sessionId
    }

    private enum CodingKeys: String, CodingKey {
        case sessionId = "sessionId"
    }
}

/// Names of methods.
public struct MethodName: RawRepresentable, Codable, Hashable, Sendable {
    public static let connect = Self(rawValue: "connect")
    public static let health = Self(rawValue: "health")
    public static let logsTail = Self(rawValue: "logs.tail")
    public static let channelsStatus = Self(rawValue: "channels.status")
    public static let channelsLogout = Self(rawValue: "channels.logout")
    public static let status = Self(rawValue: "status")
    public static let usageStatus = Self(rawValue: "usage.status")
    public static let usageCost = Self(rawValue: "usage.cost")
    public static let ttsStatus = Self(rawValue: "tts.status")
    public static let ttsProviders = Self(rawValue: "tts.providers")
    public static let ttsEnable = Self(rawValue: "tts.enable")
    public static let ttsDisable = Self(rawValue: "tts.disable")
    public static let ttsConvert = Self(rawValue: "tts.convert")
    public static let ttsSetProvider = Self(rawValue: "tts.setProvider")
    public static let configGet = Self(rawValue: "config.get")
    public static let configSet = Self(rawValue: "config.set")
    public static let configApply = Self(rawValue: "config.apply")
    public static let configPatch = Self(rawValue: "config.patch")
    public static let configSchema = Self(rawValue: "config.schema")
    public static let execApprovalsGet = Self(rawValue: "exec.approvals.get")
    public static let execApprovalsSet = Self(rawValue: "exec.approvals.set")
    public static let execApprovalsNodeGet = Self(rawValue: "exec.approvals.node.get")
    public static let execApprovalsNodeSet = Self(rawValue: "exec.approvals.node.set")
    public static let execApprovalRequest = Self(rawValue: "exec.approval.request")
    public static let execApprovalResolve = Self(rawValue: "exec.approval.resolve")
    public static let wizardStart = Self(rawValue: "wizard.start")
    public static let wizardNext = Self(rawValue: "wizard.next")
    public static let wizardCancel = Self(rawValue: "wizard.cancel")
    public static let wizardStatus = Self(rawValue: "wizard.status")
    public static let talkMode = Self(rawValue: "talk.mode")
    public static let modelsList = Self(rawValue: "models.list")
    public static let agentsList = Self(rawValue: "agents.list")
    public static let skillsStatus = Self(rawValue: "skills.status")
    public static let skillsBins = Self(rawValue: "skills.bins")
    public static let skillsInstall = Self(rawValue: "skills.install")
    public static let skillsUpdate = Self(rawValue: "skills.update")
    public static let updateRun = Self(rawValue: "update.run")
    public static let voicewakeGet = Self(rawValue: "voicewake.get")
    public static let voicewakeSet = Self(rawValue: "voicewake.set")
    public static let sessionsList = Self(rawValue: "sessions.list")
    public static let sessionsPreview = Self(rawValue: "sessions.preview")
    public static let sessionsPatch = Self(rawValue: "sessions.patch")
    public static let sessionsReset = Self(rawValue: "sessions.reset")
    public static let sessionsDelete = Self(rawValue: "sessions.delete")
    public static let sessionsCompact = Self(rawValue: "sessions.compact")
    public static let lastHeartbeat = Self(rawValue: "last-heartbeat")
    public static let setHeartbeats = Self(rawValue: "set-heartbeats")
    public static let wake = Self(rawValue: "wake")
    public static let nodePairRequest = Self(rawValue: "node.pair.request")
    public static let nodePairList = Self(rawValue: "node.pair.list")
    public static let nodePairApprove = Self(rawValue: "node.pair.approve")
    public static let nodePairReject = Self(rawValue: "node.pair.reject")
    public static let nodePairVerify = Self(rawValue: "node.pair.verify")
    public static let devicePairList = Self(rawValue: "device.pair.list")
    public static let devicePairApprove = Self(rawValue: "device.pair.approve")
    public static let devicePairReject = Self(rawValue: "device.pair.reject")
    public static let deviceTokenRotate = Self(rawValue: "device.token.rotate")
    public static let deviceTokenRevoke = Self(rawValue: "device.token.revoke")
    public static let nodeRename = Self(rawValue: "node.rename")
    public static let nodeList = Self(rawValue: "node.list")
    public static let nodeDescribe = Self(rawValue: "node.describe")
    public static let nodeInvoke = Self(rawValue: "node.invoke")
    public static let nodeInvokeResult = Self(rawValue: "node.invoke.result")
    public static let nodeEvent = Self(rawValue: "node.event")
    public static let cronList = Self(rawValue: "cron.list")
    public static let cronStatus = Self(rawValue: "cron.status")
    public static let cronAdd = Self(rawValue: "cron.add")
    public static let cronUpdate = Self(rawValue: "cron.update")
    public static let cronRemove = Self(rawValue: "cron.remove")
    public static let cronRun = Self(rawValue: "cron.run")
    public static let cronRuns = Self(rawValue: "cron.runs")
    public static let systemPresence = Self(rawValue: "system-presence")
    public static let systemEvent = Self(rawValue: "system-event")
    public static let send = Self(rawValue: "send")
    public static let agent = Self(rawValue: "agent")
    public static let agentIdentityGet = Self(rawValue: "agent.identity.get")
    public static let agentWait = Self(rawValue: "agent.wait")
    public static let chatHistory = Self(rawValue: "chat.history")
    public static let chatAbort = Self(rawValue: "chat.abort")
    public static let chatSend = Self(rawValue: "chat.send")
    public static let webLoginStart = Self(rawValue: "web.login.start")
    public static let webLoginWait = Self(rawValue: "web.login.wait")
    public static let browserRequest = Self(rawValue: "browser.request")
    public static let poll = Self(rawValue: "poll")
    public static let chatInject = Self(rawValue: "chat.inject")
    public static let messageAction = Self(rawValue: "message.action")
    public static let sessionsResolve = Self(rawValue: "sessions.resolve")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

/// Names of events.
public struct EventName: RawRepresentable, Codable, Hashable, Sendable {
    public static let connectChallenge = Self(rawValue: "connect.challenge")
    public static let agent = Self(rawValue: "agent")
    public static let chat = Self(rawValue: "chat")
    public static let presence = Self(rawValue: "presence")
    public static let tick = Self(rawValue: "tick")
    public static let talkMode = Self(rawValue: "talk.mode")
    public static let shutdown = Self(rawValue: "shutdown")
    public static let health = Self(rawValue: "health")
    public static let heartbeat = Self(rawValue: "heartbeat")
    public static let cron = Self(rawValue: "cron")
    public static let nodePairRequested = Self(rawValue: "node.pair.requested")
    public static let nodePairResolved = Self(rawValue: "node.pair.resolved")
    public static let nodeInvokeRequest = Self(rawValue: "node.invoke.request")
    public static let devicePairRequested = Self(rawValue: "device.pair.requested")
    public static let devicePairResolved = Self(rawValue: "device.pair.resolved")
    public static let voicewakeChanged = Self(rawValue: "voicewake.changed")
    public static let execApprovalRequested = Self(rawValue: "exec.approval.requested")
    public static let execApprovalResolved = Self(rawValue: "exec.approval.resolved")

    public var rawValue: String

    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}
