//! stub
use super::types::Config;
/// m
#[derive(Clone, Copy)]
pub enum Mode {
    /// x
    Hybrid,
}
impl Mode {
    /// x
    pub fn of(_: &Config) -> Self {
        Self::Hybrid
    }
}
/// d
pub enum Decision {
    /// x
    Nothing,
    /// x
    Disabled,
    /// x
    Apply,
    /// x
    Restart,
    /// x
    Refused,
}
/// p
pub struct Plan {
    /// x
    pub changed: Vec<String>,
    /// x
    pub restart: Vec<String>,
    /// x
    pub decision: Decision,
}
/// p
pub fn plan(_: &Config, _: &Config, _: Mode) -> Plan {
    Plan { changed: vec![], restart: vec![], decision: Decision::Nothing }
}
