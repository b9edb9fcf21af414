//! Parameters of `wizard.*`.

use super::params;

params! {}
