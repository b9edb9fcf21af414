//! Parameters of `channels.*`, `send`, `poll` and `web.login.*`.

use super::params;

params! {}
