//! What the gateway sends, as clients model it: frames, events, answers.
//!
//! Only for the schema file: the gateway builds these values where their facts are, and the black-box tests judge every
//! frame it sends by them. Not here: what clients send (the other modules), and answers that no definition describes; of
//! those the recordings are the promise.

#![expect(dead_code, reason = "the derived schemas are all that is read")]

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::NonEmpty;
use super::approvals::file::ExecApprovalsFile;
use super::cron::CronStatus;
use super::schema_gen::{KEEPS_NULL, add, words};

/// Puts the definitions into the schema file.
pub(super) fn define(definitions: &mut Map<String, Value>) {
    let kinds: [fn(&mut Map<String, Value>); 31] = [
        add::<RequestFrame>,
        add::<ResponseFrame>,
        add::<EventFrame>,
        gateway_frame,
        add::<HelloOk>,
        add::<Snapshot>,
        add::<PresenceEntry>,
        add::<StateVersion>,
        add::<ErrorShape>,
        add::<TickEvent>,
        add::<ShutdownEvent>,
        add::<AgentEvent>,
        add::<ChatEvent>,
        add::<NodeInvokeRequestEvent>,
        add::<DevicePairRequestedEvent>,
        add::<DevicePairResolvedEvent>,
        add::<AgentIdentityResult>,
        add::<AgentSummary>,
        add::<AgentsListResult>,
        add::<ModelChoice>,
        add::<ModelsListResult>,
        add::<LogsTailResult>,
        add::<SkillsBinsResult>,
        add::<CronRunLogEntry>,
        add::<ExecApprovalsSnapshot>,
        add::<ConfigSchemaResponse>,
        add::<ChannelsStatusResult>,
        add::<WizardStep>,
        add::<WizardStartResult>,
        add::<WizardNextResult>,
        add::<WizardStatusResult>,
    ];
    kinds.into_iter().for_each(|kind| kind(definitions));
}

/// Declares closed objects with keys in camel case.
macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            #[derive(JsonSchema)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            $(#[$meta])*
            struct $name { $($(#[$field_meta])* $field: $type,)* }
        )*
    };
}

// Frames, and what a client is told first.

/// One of the three, told apart by `type`: models made from a discriminated union are tighter than one bag of options.
fn gateway_frame(definitions: &mut Map<String, Value>) {
    let frames = ["RequestFrame", "ResponseFrame", "EventFrame"].map(|name| definitions[name].clone());
    definitions.insert("GatewayFrame".into(), json!({"discriminator": "type", "anyOf": frames}));
}

objects! {
    RequestFrame {
        #[schemars(extend("const" = "req"))]
        r#type: String,
        id: NonEmpty,
        method: NonEmpty,
        params: Option<Value>,
    }
    ResponseFrame {
        #[schemars(extend("const" = "res"))]
        r#type: String,
        id: NonEmpty,
        ok: bool,
        payload: Option<Value>,
        error: Option<ErrorShape>,
    }
    EventFrame {
        #[schemars(extend("const" = "event"))]
        r#type: String,
        event: NonEmpty,
        payload: Option<Value>,
        seq: Option<u64>,
        state_version: Option<StateVersion>,
    }
    ErrorShape {
        code: NonEmpty,
        message: NonEmpty,
        details: Option<Value>,
        retryable: Option<bool>,
        retry_after_ms: Option<u64>,
    }
    HelloOk {
        #[schemars(extend("const" = "hello-ok"))]
        r#type: String,
        protocol: NonZeroU64,
        server: Server,
        features: Features,
        snapshot: Snapshot,
        canvas_host_url: Option<NonEmpty>,
        auth: Option<Granted>,
        policy: Policy,
    }
    Server { version: NonEmpty, commit: Option<NonEmpty>, host: Option<NonEmpty>, conn_id: NonEmpty, }
    Features { methods: Vec<NonEmpty>, events: Vec<NonEmpty>, }
    Granted { device_token: NonEmpty, role: NonEmpty, scopes: Vec<NonEmpty>, issued_at_ms: Option<u64>, }
    Policy { max_payload: NonZeroU64, max_buffered_bytes: NonZeroU64, tick_interval_ms: NonZeroU64, }
    Snapshot {
        presence: Vec<PresenceEntry>,
        health: Value,
        state_version: StateVersion,
        uptime_ms: u64,
        config_path: Option<NonEmpty>,
        state_dir: Option<NonEmpty>,
        session_defaults: Option<SessionDefaults>,
    }
    PresenceEntry {
        host: Option<NonEmpty>,
        ip: Option<NonEmpty>,
        version: Option<NonEmpty>,
        platform: Option<NonEmpty>,
        device_family: Option<NonEmpty>,
        model_identifier: Option<NonEmpty>,
        mode: Option<NonEmpty>,
        last_input_seconds: Option<u64>,
        reason: Option<NonEmpty>,
        tags: Option<Vec<NonEmpty>>,
        text: Option<String>,
        ts: u64,
        device_id: Option<NonEmpty>,
        roles: Option<Vec<NonEmpty>>,
        scopes: Option<Vec<NonEmpty>>,
        instance_id: Option<NonEmpty>,
    }
    StateVersion { presence: u64, health: u64, }
    SessionDefaults {
        default_agent_id: NonEmpty,
        main_key: NonEmpty,
        main_session_key: NonEmpty,
        scope: Option<NonEmpty>,
    }
}

// Events.

objects! {
    TickEvent { ts: u64, }
    ShutdownEvent { reason: NonEmpty, restart_expected_ms: Option<u64>, }
    // compat: the original also sends `sessionKey` and does not define it.
    AgentEvent {
        run_id: NonEmpty,
        seq: u64,
        stream: NonEmpty,
        ts: u64,
        data: Map<String, Value>,
    }
    ChatEvent {
        run_id: NonEmpty,
        session_key: NonEmpty,
        seq: u64,
        #[schemars(schema_with = "chat_states")]
        state: String,
        message: Option<Value>,
        error_message: Option<String>,
        usage: Option<Value>,
        stop_reason: Option<String>,
    }
    NodeInvokeRequestEvent {
        id: NonEmpty,
        node_id: NonEmpty,
        command: NonEmpty,
        #[serde(rename = "paramsJSON")]
        params_json: Option<String>,
        timeout_ms: Option<u64>,
        idempotency_key: Option<NonEmpty>,
    }
    DevicePairRequestedEvent {
        request_id: NonEmpty,
        device_id: NonEmpty,
        public_key: NonEmpty,
        display_name: Option<NonEmpty>,
        platform: Option<NonEmpty>,
        client_id: Option<NonEmpty>,
        client_mode: Option<NonEmpty>,
        role: Option<NonEmpty>,
        roles: Option<Vec<NonEmpty>>,
        scopes: Option<Vec<NonEmpty>>,
        remote_ip: Option<NonEmpty>,
        silent: Option<bool>,
        is_repair: Option<bool>,
        ts: u64,
    }
    DevicePairResolvedEvent { request_id: NonEmpty, device_id: NonEmpty, decision: NonEmpty, ts: u64, }
}

fn chat_states(_: &mut SchemaGenerator) -> Schema {
    words(&["delta", "final", "aborted", "error"])
}

// Answers.

objects! {
    AgentIdentityResult { agent_id: NonEmpty, name: Option<NonEmpty>, avatar: Option<NonEmpty>, }
    AgentSummary { id: NonEmpty, name: Option<NonEmpty>, identity: Option<AgentLooks>, }
    AgentLooks {
        name: Option<NonEmpty>,
        theme: Option<NonEmpty>,
        emoji: Option<NonEmpty>,
        avatar: Option<NonEmpty>,
        avatar_url: Option<NonEmpty>,
    }
    AgentsListResult {
        default_id: NonEmpty,
        main_key: NonEmpty,
        #[schemars(schema_with = "session_scopes")]
        scope: String,
        agents: Vec<AgentSummary>,
    }
    ModelChoice {
        id: NonEmpty,
        name: NonEmpty,
        provider: NonEmpty,
        context_window: Option<NonZeroU64>,
        reasoning: Option<bool>,
    }
    ModelsListResult { models: Vec<ModelChoice>, }
    LogsTailResult {
        file: NonEmpty,
        cursor: u64,
        size: u64,
        lines: Vec<String>,
        truncated: Option<bool>,
        reset: Option<bool>,
    }
    ExecApprovalsSnapshot { path: NonEmpty, exists: bool, hash: NonEmpty, file: ExecApprovalsFile, }
    CronRunLogEntry {
        ts: u64,
        job_id: NonEmpty,
        #[schemars(extend("const" = "finished"))]
        action: String,
        status: Option<CronStatus>,
        error: Option<String>,
        summary: Option<String>,
        run_at_ms: Option<u64>,
        duration_ms: Option<u64>,
        next_run_at_ms: Option<u64>,
    }
    SkillsBinsResult { bins: Vec<NonEmpty>, }
    ConfigSchemaResponse {
        schema: Value,
        ui_hints: BTreeMap<String, ConfigUiHint>,
        version: NonEmpty,
        generated_at: NonEmpty,
    }
    ConfigUiHint {
        label: Option<String>,
        help: Option<String>,
        group: Option<String>,
        order: Option<i64>,
        advanced: Option<bool>,
        sensitive: Option<bool>,
        placeholder: Option<String>,
        item_template: Option<Value>,
    }
    ChannelsStatusResult {
        ts: u64,
        channel_order: Vec<NonEmpty>,
        channel_labels: BTreeMap<String, NonEmpty>,
        channel_detail_labels: Option<BTreeMap<String, NonEmpty>>,
        channel_system_images: Option<BTreeMap<String, NonEmpty>>,
        channel_meta: Option<Vec<ChannelUiMeta>>,
        channels: Map<String, Value>,
        channel_accounts: BTreeMap<String, Vec<ChannelAccountSnapshot>>,
        channel_default_account_id: BTreeMap<String, NonEmpty>,
    }
    ChannelUiMeta { id: NonEmpty, label: NonEmpty, detail_label: NonEmpty, system_image: Option<String>, }
}

/// Open, so that new channels say more without a new protocol.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("additionalProperties" = true))]
struct ChannelAccountSnapshot {
    account_id: NonEmpty,
    name: Option<String>,
    enabled: Option<bool>,
    configured: Option<bool>,
    linked: Option<bool>,
    running: Option<bool>,
    connected: Option<bool>,
    reconnect_attempts: Option<u64>,
    last_connected_at: Option<u64>,
    last_error: Option<String>,
    last_start_at: Option<u64>,
    last_stop_at: Option<u64>,
    last_inbound_at: Option<u64>,
    last_outbound_at: Option<u64>,
    last_probe_at: Option<u64>,
    mode: Option<String>,
    dm_policy: Option<String>,
    allow_from: Option<Vec<String>>,
    token_source: Option<String>,
    bot_token_source: Option<String>,
    app_token_source: Option<String>,
    base_url: Option<String>,
    allow_unmentioned_groups: Option<bool>,
    #[schemars(schema_with = "or_null::<String>", default)]
    cli_path: Option<String>,
    #[schemars(schema_with = "or_null::<String>", default)]
    db_path: Option<String>,
    #[schemars(schema_with = "or_null::<u64>", default)]
    port: Option<u64>,
    probe: Option<Value>,
    audit: Option<Value>,
    application: Option<Value>,
}

objects! {
    WizardStep {
        id: NonEmpty,
        #[schemars(schema_with = "wizard_step_types")]
        r#type: String,
        title: Option<String>,
        message: Option<String>,
        options: Option<Vec<WizardStepOption>>,
        initial_value: Option<Value>,
        placeholder: Option<String>,
        sensitive: Option<bool>,
        #[schemars(schema_with = "wizard_executors", default)]
        executor: Option<String>,
    }
    WizardStepOption { value: Value, label: NonEmpty, hint: Option<String>, }
    WizardStartResult {
        session_id: NonEmpty,
        done: bool,
        step: Option<WizardStep>,
        #[schemars(schema_with = "wizard_statuses", default)]
        status: Option<String>,
        error: Option<String>,
    }
    WizardNextResult {
        done: bool,
        step: Option<WizardStep>,
        #[schemars(schema_with = "wizard_statuses", default)]
        status: Option<String>,
        error: Option<String>,
    }
    WizardStatusResult {
        #[schemars(schema_with = "wizard_statuses")]
        status: String,
        error: Option<String>,
    }
}

fn session_scopes(_: &mut SchemaGenerator) -> Schema {
    words(&["per-sender", "global"])
}

fn wizard_step_types(_: &mut SchemaGenerator) -> Schema {
    words(&["note", "select", "text", "confirm", "multiselect", "progress", "action"])
}

fn wizard_executors(_: &mut SchemaGenerator) -> Schema {
    words(&["gateway", "client"])
}

fn wizard_statuses(_: &mut SchemaGenerator) -> Schema {
    words(&["running", "done", "cancelled", "error"])
}

/// A value whose `null` differs from its absence.
fn or_null<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [generator.subschema_for::<T>(), {"type": "null"}], KEEPS_NULL: true})
}
