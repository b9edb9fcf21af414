//! Parameters of `node.pair.*` and `node.rename`.

use super::{NonEmpty, params};

params! {
    /// Parameters of `node.pair.request`.
    pub struct NodePairRequestParams {
        /// The node.
        pub node_id: NonEmpty,
        /// Shown name.
        pub display_name: Option<NonEmpty>,
        /// Platform.
        pub platform: Option<NonEmpty>,
        /// Version.
        pub version: Option<NonEmpty>,
        /// Version of its core.
        pub core_version: Option<NonEmpty>,
        /// Version of its user interface.
        pub ui_version: Option<NonEmpty>,
        /// Device family.
        pub device_family: Option<NonEmpty>,
        /// Device model.
        pub model_identifier: Option<NonEmpty>,
        /// Capabilities.
        pub caps: Option<Vec<NonEmpty>>,
        /// Commands it offers.
        pub commands: Option<Vec<NonEmpty>>,
        /// Its address.
        pub remote_ip: Option<NonEmpty>,
        /// Stored and shown; a companion app approves silent ones by itself.
        pub silent: Option<bool>,
    }

    /// Parameters of `node.pair.list`.
    pub struct NodePairListParams {}

    /// Parameters of `node.pair.approve`.
    pub struct NodePairApproveParams {
        /// The request.
        pub request_id: NonEmpty,
    }

    /// Parameters of `node.pair.reject`.
    pub struct NodePairRejectParams {
        /// The request.
        pub request_id: NonEmpty,
    }

    /// Parameters of `node.pair.verify`.
    pub struct NodePairVerifyParams {
        /// The node.
        pub node_id: NonEmpty,
        /// The token it shows.
        pub token: NonEmpty,
    }

    /// Parameters of `node.rename`.
    pub struct NodeRenameParams {
        /// The node.
        pub node_id: NonEmpty,
        /// Its new name.
        pub display_name: NonEmpty,
    }
}
