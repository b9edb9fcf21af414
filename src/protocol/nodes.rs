//! Parameters of `node.*` and `node.pair.*`.

use super::params;

params! {}
