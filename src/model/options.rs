//! BOS's run-time options, with BOS's defaults.

use std::time::Duration;

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

impl Options {
    /// How long a completed session stays; none: for ever.
    pub fn session_time_to_live(&self) -> Option<Duration> {
        age(&self.cleanup_completed_session_ttl).filter(|age| !age.is_zero())
    }

    /// How long a node's report is believed; none where the option cannot be read.
    pub fn actual_state_time_to_live(&self) -> Option<Duration> {
        age(&self.component_actual_state_ttl).filter(|age| !age.is_zero())
    }
}

/// BOS's ages: a number with m, h, d or w in either case, or `0`.
pub(super) fn age(text: &str) -> Option<Duration> {
    let minutes = match text.chars().next_back()?.to_ascii_lowercase() {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        'w' => 7 * 24 * 60,
        '0' if text == "0" => return Some(Duration::ZERO),
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(minutes)?.checked_mul(60)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_in_either_case() {
        let mut options = Options::default();
        assert_eq!(options.session_time_to_live(), Some(Duration::from_secs(7 * 86_400)));
        assert_eq!(options.actual_state_time_to_live(), Some(Duration::from_secs(4 * 3_600)));
        options.cleanup_completed_session_ttl = "0D".to_owned();
        options.component_actual_state_ttl = "2W".to_owned();
        assert_eq!(options.session_time_to_live(), None);
        assert_eq!(options.actual_state_time_to_live(), Some(Duration::from_secs(14 * 86_400)));
        options.component_actual_state_ttl = "ä".to_owned();
        assert_eq!(options.actual_state_time_to_live(), None);
    }
}
