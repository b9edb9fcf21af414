//! Parameters of `exec.approval.*` and `exec.approvals.*`.

use super::params;

params! {}
