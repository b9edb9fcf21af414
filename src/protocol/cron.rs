//! Parameters of `cron.*`: schedules, payloads, jobs as they are added and patched.

use super::params;

params! {}
