//! Parameters of `wizard.*`.

use serde::Deserialize;
use serde_json::Value;

use super::{NonEmpty, params};

/// One answer.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WizardAnswer {
    /// Which step it is for.
    pub step_id: NonEmpty,
    /// The answer.
    pub value: Option<Value>,
}

params! {
    /// Parameters of `wizard.start`.
    pub struct WizardStartParams {
        /// `local` or `remote`; asked for when absent.
        #[serde(default)]
        #[cfg_attr(test, schemars(schema_with = "super::schema_gen::wizard_modes"))]
        pub mode: Option<String>,
        /// Workspace; asked for when absent.
        pub workspace: Option<String>,
    }

    /// Parameters of `wizard.next`.
    pub struct WizardNextParams {
        /// Which run.
        pub session_id: NonEmpty,
        /// Answer to the step that waits; absent = say it again.
        pub answer: Option<WizardAnswer>,
    }

    /// Parameters of `wizard.cancel`.
    pub struct WizardCancelParams {
        /// Which run.
        pub session_id: NonEmpty,
    }

    /// Parameters of `wizard.status`.
    pub struct WizardStatusParams {
        /// Which run.
        pub session_id: NonEmpty,
    }
}
