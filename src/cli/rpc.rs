//! Calling the gateway from a command: the client options that commands share, and how a failing call is worded.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use super::Cli;
use super::output::error_line;
use crate::client::target::{Overrides, Target};
use crate::client::{Client, ClientError, Deadline, Profile};

/// How long a call may take unless said otherwise.
pub(super) const TIMEOUT_DEFAULT_MS: u64 = 10_000;

/// A positive number that was typed; anything else counts as not given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Positive(Option<u64>);

impl Positive {
    /// Returns the number, or the default.
    pub(super) fn or(self, default: u64) -> u64 {
        self.0.unwrap_or(default)
    }
}

impl FromStr for Positive {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 1.0);
        Ok(Self(number.map(|number| number as u64)))
    }
}

/// The values of the shared options.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientOptions {
    pub(super) overrides: Overrides,
    pub(super) timeout: Duration,
    pub(super) expect_final: bool,
}

/// Declares a command with the client options added to its own: `--url --token --password --timeout --expect-final
/// --json`.
macro_rules! client_command {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(argh::FromArgs, argh::ArgsInfo)]
        $vis struct $name {
            $($fields)*
            /// gateway to call (default: what the configuration says)
            #[argh(option, arg_name = "url")]
            url: Option<String>,
            /// gateway token
            #[argh(option, arg_name = "token")]
            token: Option<String>,
            /// gateway password
            #[argh(option, arg_name = "password")]
            password: Option<String>,
            /// longest wait in milliseconds (default 10000)
            #[argh(option, arg_name = "ms", default = "Default::default()")]
            timeout: $crate::cli::rpc::Positive,
            /// wait for the last answer of methods that answer twice
            #[argh(switch)]
            expect_final: bool,
            /// print JSON
            #[argh(switch)]
            #[allow(dead_code)] // Some commands print nothing but JSON.
            json: bool,
        }

        impl $name {
            fn client_options(&self) -> $crate::cli::rpc::ClientOptions {
                $crate::cli::rpc::ClientOptions {
                    overrides: $crate::client::target::Overrides {
                        url: self.url.clone(),
                        token: self.token.clone(),
                        password: self.password.clone(),
                    },
                    timeout: std::time::Duration::from_millis(
                        self.timeout.or($crate::cli::rpc::TIMEOUT_DEFAULT_MS),
                    ),
                    expect_final: self.expect_final,
                }
            }
        }
    };
}
pub(super) use client_command;

/// A call that failed, worded as commands print it.
#[derive(Debug)]
pub(super) struct CallError {
    /// What happened.
    pub(super) error: ClientError,
    /// Which gateway it was.
    pub(super) target: Box<Target>,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        if self.error.is_connection() { write!(f, "\n{}", self.target.details()) } else { Ok(()) }
    }
}

impl std::error::Error for CallError {}

/// Connects, calls one method, and hangs up.
pub(super) fn call(cli: &Cli, options: &ClientOptions, method: &str, params: Value) -> Result<Value, CallError> {
    let target = Target::resolve(&cli.paths, cli.config(), &options.overrides);
    call_target(cli, target, options, method, params)
}

/// As [`call`], for a gateway that was resolved before.
pub(super) fn call_target(
    cli: &Cli,
    target: Target,
    options: &ClientOptions,
    method: &str,
    params: Value,
) -> Result<Value, CallError> {
    let deadline = Deadline::after(options.timeout);
    let result = target.check().and_then(|()| {
        let mut client = Client::connect(&cli.paths, &target, &Profile::cli(), deadline)?;
        let result = client.request(method, params, options.expect_final, deadline);
        client.close();
        result
    });
    result.map_err(|error| {
        if let ClientError::Closed { refusal: Some(text), .. } = &error {
            error_line(&format!("gateway connect failed: Error: {text}"));
        }
        CallError { error, target: Box::new(target) }
    })
}

/// Returns the value as rows of a list; anything else is an empty list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
