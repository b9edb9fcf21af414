//! Parameters of `browser.request`.

use serde_json::Value;

use super::{NonEmpty, params};

params! {
    /// Parameters of `browser.request`.
    pub struct BrowserRequestParams {
        /// GET, POST or DELETE.
        pub method: NonEmpty,
        /// Route of the browser control.
        pub path: NonEmpty,
        /// Query parameters.
        pub query: Option<Value>,
        /// JSON body.
        pub body: Option<Value>,
        /// How long it may take.
        #[cfg_attr(test, schemars(range(min = 1)))]
        pub timeout_ms: Option<u64>,
    }
}
