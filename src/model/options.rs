//! BOS's run-time options, with BOS's defaults.

use serde::{Deserialize, Serialize};

/// The options of BOS v2, all of them; unknown stored keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are BOS's own, and the contract describes them")]
pub struct Options {
    pub bss_read_timeout: u32,
    pub cfs_read_timeout: u32,
    pub cleanup_completed_session_ttl: String,
    pub clear_stage: bool,
    pub component_actual_state_ttl: String,
    pub default_retry_policy: u32,
    pub discovery_frequency: u32,
    pub hsm_read_timeout: u32,
    pub ims_errors_fatal: bool,
    pub ims_images_must_exist: bool,
    pub ims_read_timeout: u32,
    pub logging_level: String,
    pub max_boot_wait_time: u32,
    pub max_component_batch_size: u32,
    pub max_power_off_wait_time: u32,
    pub max_power_on_wait_time: u32,
    pub pcs_read_timeout: u32,
    pub polling_frequency: u32,
    pub reject_nids: bool,
    pub session_limit_required: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bss_read_timeout: 20,
            cfs_read_timeout: 20,
            cleanup_completed_session_ttl: "7d".to_owned(),
            clear_stage: false,
            component_actual_state_ttl: "4h".to_owned(),
            default_retry_policy: 3,
            discovery_frequency: 300,
            hsm_read_timeout: 20,
            ims_errors_fatal: false,
            ims_images_must_exist: false,
            ims_read_timeout: 20,
            logging_level: "INFO".to_owned(),
            max_boot_wait_time: 1200,
            max_component_batch_size: 2800,
            max_power_off_wait_time: 300,
            max_power_on_wait_time: 120,
            pcs_read_timeout: 20,
            polling_frequency: 15,
            reject_nids: false,
            session_limit_required: false,
        }
    }
}
