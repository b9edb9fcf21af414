//! Parameters of `device.pair.*` and `device.token.*`.

use super::params;

params! {}
