//! Parameters of `skills.*`.

use super::params;

params! {}
