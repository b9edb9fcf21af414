//! `cron.*` on the wire: schedules, payloads and jobs, which are kept in the store as they are sent; parameters, the
//! event, and the lines of a run log.
//!
//! What a job's file may hold beyond these fields is carried along (`other`), so that nothing another version wrote is
//! lost; the schema forbids such fields in requests.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

#[cfg(test)]
use schemars::JsonSchema;

/// Fields of a stored object that this version does not know.
pub type Other = Map<String, Value>;

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline, deny_unknown_fields))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CronSchedule {
    /// Once.
    At {
        /// When.
        at_ms: u64,
        /// See [`Other`].
        #[serde(flatten)]
        #[cfg_attr(test, schemars(skip))]
        other: Other,
    },
    /// Again and again.
    Every {
        /// The period.
        #[cfg_attr(test, schemars(range(min = 1)))]
        every_ms: u64,
        /// A moment from which periods are counted; without it each run counts from the end of the one before.
        #[serde(skip_serializing_if = "Option::is_none")]
        anchor_ms: Option<u64>,
        /// See [`Other`].
        #[serde(flatten)]
        #[cfg_attr(test, schemars(skip))]
        other: Other,
    },
    /// By a cron expression.
    Cron {
        /// Five or six fields.
        #[cfg_attr(test, schemars(length(min = 1)))]
        expr: String,
        /// IANA time zone; the host's when absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        tz: Option<String>,
        /// See [`Other`].
        #[serde(flatten)]
        #[cfg_attr(test, schemars(skip))]
        other: Other,
    },
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline, deny_unknown_fields))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CronPayload {
    /// Tells the agent's main session something.
    SystemEvent {
        /// What.
        #[cfg_attr(test, schemars(length(min = 1)))]
        text: String,
        /// See [`Other`].
        #[serde(flatten)]
        #[cfg_attr(test, schemars(skip))]
        other: Other,
    },
    /// Has the agent answer in a session of the job's own.
    AgentTurn {
        /// What the agent is told.
        #[cfg_attr(test, schemars(length(min = 1)))]
        message: String,
        /// How, and where its answer goes.
        #[serde(flatten)]
        turn: CronTurn,
        /// See [`Other`].
        #[serde(flatten)]
        #[cfg_attr(test, schemars(skip))]
        other: Other,
    },
}

/// The optional fields of an agent turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase")]
pub struct CronTurn {
    /// Model instead of the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Thinking level instead of the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// Run limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub timeout_seconds: Option<u64>,
    /// Whether the answer is delivered; absent = when `to` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver: Option<bool>,
    /// Channel of the delivery, or `last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(schema_with = "super::schema_gen::channel_or_last"))]
    pub channel: Option<String>,
    /// Recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether a failed delivery leaves the job well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_effort_deliver: Option<bool>,
}

/// A change of a payload.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline, deny_unknown_fields))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CronPayloadPatch {
    /// See [`CronPayload::SystemEvent`].
    SystemEvent {
        /// What.
        #[cfg_attr(test, schemars(length(min = 1)))]
        text: Option<String>,
    },
    /// See [`CronPayload::AgentTurn`].
    AgentTurn {
        /// What the agent is told.
        #[cfg_attr(test, schemars(length(min = 1)))]
        message: Option<String>,
        /// The others.
        #[serde(flatten)]
        turn: CronTurn,
    },
}

/// Which session a job uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase")]
pub enum CronSessionTarget {
    /// The agent's main session.
    Main,
    /// One of its own.
    Isolated,
}

/// How soon a job's words reach the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline))]
#[serde(rename_all = "kebab-case")]
pub enum CronWakeMode {
    /// With the next heartbeat.
    NextHeartbeat,
    /// By a heartbeat at once.
    Now,
}

/// How much of an answer is posted to the main session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase")]
pub enum CronPostMode {
    /// Its beginning.
    Summary,
    /// Up to `postToMainMaxChars`.
    Full,
}

/// What an isolated job leaves in the main session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline, deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct CronIsolation {
    /// Put in front; default `Cron`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_to_main_prefix: Option<String>,
    /// Default: the summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_to_main_mode: Option<CronPostMode>,
    /// Of mode full; default 8000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_to_main_max_chars: Option<u64>,
    /// See [`Other`].
    #[serde(flatten)]
    #[cfg_attr(test, schemars(skip))]
    pub other: Other,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase")]
pub enum CronStatus {
    /// Well.
    Ok,
    /// Badly.
    Error,
    /// There was nothing to do, or no way to do it.
    Skipped,
}

impl CronStatus {
    /// Returns its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline, deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct CronJobState {
    /// When it runs next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at_ms: Option<u64>,
    /// Since when it is running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_at_ms: Option<u64>,
    /// When its last run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_at_ms: Option<u64>,
    /// How that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_status: Option<CronStatus>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_duration_ms: Option<u64>,
    /// Runs of a one-shot job that did not end well, since it was set up. Not of the original.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(test, schemars(skip))]
    pub failures: u32,
    /// See [`Other`].
    #[serde(flatten)]
    #[cfg_attr(test, schemars(skip))]
    pub other: Other,
}

/// A job, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct CronJob {
    /// A UUID.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub id: String,
    /// Whose job it is; the default agent's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub agent_id: Option<String>,
    /// Shown name.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub name: String,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it runs by itself.
    pub enabled: bool,
    /// Whether a one-shot job is removed once it ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_after_run: Option<bool>,
    /// When it was added.
    pub created_at_ms: u64,
    /// When it was changed, or began to run, last.
    pub updated_at_ms: u64,
    /// When it runs.
    pub schedule: CronSchedule,
    /// Which session it uses.
    pub session_target: CronSessionTarget,
    /// How soon its words reach the agent.
    pub wake_mode: CronWakeMode,
    /// What it does.
    pub payload: CronPayload,
    /// What it leaves in the main session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<CronIsolation>,
    /// Where it stands.
    pub state: CronJobState,
    /// See [`Other`].
    #[serde(flatten)]
    #[cfg_attr(test, schemars(skip))]
    pub other: Other,
}

/// Parameters of `cron.list`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct CronListParams {
    /// Whether disabled jobs are listed, too.
    pub include_disabled: Option<bool>,
}

/// Parameters of `cron.status`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct CronStatusParams {}

/// Parameters of `cron.add`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct CronAddParams {
    /// See [`CronJob::name`].
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub name: String,
    /// See [`CronJob::agent_id`]; null is the default agent.
    #[serde(default)]
    #[cfg_attr(test, schemars(schema_with = "super::schema_gen::text_or_null"))]
    pub agent_id: Option<String>,
    /// See [`CronJob::description`].
    pub description: Option<String>,
    /// Default true.
    pub enabled: Option<bool>,
    /// See [`CronJob::delete_after_run`].
    pub delete_after_run: Option<bool>,
    /// See [`CronJob::schedule`].
    pub schedule: CronSchedule,
    /// See [`CronJob::session_target`].
    pub session_target: CronSessionTarget,
    /// See [`CronJob::wake_mode`].
    pub wake_mode: CronWakeMode,
    /// See [`CronJob::payload`].
    pub payload: CronPayload,
    /// See [`CronJob::isolation`].
    pub isolation: Option<CronIsolation>,
}

/// What `cron.update` changes; absent fields stay.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline, deny_unknown_fields))]
#[serde(rename_all = "camelCase")]
pub struct CronJobPatch {
    /// See [`CronJob::name`].
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub name: Option<String>,
    /// See [`CronJob::agent_id`]; null clears it.
    #[serde(default, deserialize_with = "present")]
    #[cfg_attr(test, schemars(schema_with = "super::schema_gen::text_or_null"))]
    pub agent_id: Option<Option<String>>,
    /// See [`CronJob::description`]; a blank one clears it.
    pub description: Option<String>,
    /// See [`CronJob::enabled`].
    pub enabled: Option<bool>,
    /// See [`CronJob::delete_after_run`].
    pub delete_after_run: Option<bool>,
    /// Replaces the schedule.
    pub schedule: Option<CronSchedule>,
    /// See [`CronJob::session_target`].
    pub session_target: Option<CronSessionTarget>,
    /// See [`CronJob::wake_mode`].
    pub wake_mode: Option<CronWakeMode>,
    /// Changes the payload when it is of the same kind, else replaces it.
    pub payload: Option<CronPayloadPatch>,
    /// Replaces the isolation.
    pub isolation: Option<CronIsolation>,
    /// Fields of the state to set.
    pub state: Option<CronJobState>,
}

/// Declares parameters that name a job as `id` or as `jobId`, but not as both.
macro_rules! with_job_id {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
        #[serde(untagged, rename_all_fields = "camelCase")]
        pub enum $name {
            /// By `id`.
            ById {
                /// The job.
                #[cfg_attr(test, schemars(length(min = 1)))]
                id: String,
                $($(#[$field_doc])* $field: $type,)*
            },
            /// By `jobId`.
            ByJobId {
                /// The job.
                #[cfg_attr(test, schemars(length(min = 1)))]
                job_id: String,
                $($(#[$field_doc])* $field: $type,)*
            },
        }

        impl $name {
            /// Returns the job's id and the other fields.
            pub fn into_parts(self) -> (String, $($type),*) {
                match self {
                    Self::ById { id, $($field),* } | Self::ByJobId { job_id: id, $($field),* } => (id, $($field),*),
                }
            }
        }
    };
}

with_job_id! {
    /// Parameters of `cron.update`.
    pub enum CronUpdateParams {
        /// What changes.
        patch: CronJobPatch,
    }
}

with_job_id! {
    /// Parameters of `cron.remove`.
    pub enum CronRemoveParams {}
}

/// Whether a job must be due to be run by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase")]
pub enum CronRunMode {
    /// It must.
    Due,
    /// It need not, and it may be disabled.
    Force,
}

with_job_id! {
    /// Parameters of `cron.run`.
    pub enum CronRunParams {
        /// Default: due.
        mode: Option<CronRunMode>,
    }
}

with_job_id! {
    /// Parameters of `cron.runs`.
    pub enum CronRunsParams {
        /// Entries, default 200.
        #[cfg_attr(test, schemars(range(min = 1, max = 5000)))]
        limit: Option<u64>,
    }
}

/// What happened to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CronAction {
    /// It is there.
    Added,
    /// It was changed.
    Updated,
    /// It is gone.
    Removed,
    /// A run began.
    Started,
    /// A run ended.
    Finished,
}

/// Payload of the event `cron`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CronEvent {
    /// Which job.
    pub job_id: String,
    /// What happened.
    pub action: CronAction,
    /// How the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<CronStatus>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at_ms: Option<u64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// When the job runs next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run_at_ms: Option<u64>,
}

impl CronEvent {
    /// Returns the event with nothing but what happened.
    pub fn new(job_id: impl Into<String>, action: CronAction) -> Self {
        Self {
            job_id: job_id.into(),
            action,
            status: None,
            error: None,
            summary: None,
            run_at_ms: None,
            duration_ms: None,
            next_run_at_ms: None,
        }
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Tells `null` from an absent field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
pub(super) fn define(definitions: &mut Map<String, Value>) {
    use super::schema_gen::add;
    add::<CronJob>(definitions);
    add::<CronListParams>(definitions);
    add::<CronStatusParams>(definitions);
    add::<CronAddParams>(definitions);
    add::<CronUpdateParams>(definitions);
    add::<CronRemoveParams>(definitions);
    add::<CronRunParams>(definitions);
    add::<CronRunsParams>(definitions);
}
