//! Parameters of `config.*` and `update.run`.

use super::params;

params! {
    /// Parameters of `config.get`.
    pub struct ConfigGetParams {}
}
