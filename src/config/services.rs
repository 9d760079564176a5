//! The services that are asked, with what they want to see of us, and how they are set up.

use std::{fmt, path::PathBuf, time::Duration};

use clap::Args;
use humantime::parse_duration;

use crate::clients::{Endpoints, S3Endpoint, ServiceSettings};

/// The services' roots, as in-cluster.
#[derive(Args, Debug, Clone, Default, PartialEq, Eq)]
#[command(next_help_heading = "Services")]
pub struct ServiceArgs {
    /// Hardware State Manager [in-cluster: http://cray-smd]
    #[arg(long, env = "BOSUN_HSM_URL", value_name = "URL")]
    pub hsm_url: Option<String>,
    /// Power Control Service [in-cluster: http://cray-power-control]
    #[arg(long, env = "BOSUN_PCS_URL", value_name = "URL")]
    pub pcs_url: Option<String>,
    /// Boot Script Service [in-cluster: http://cray-bss]
    #[arg(long, env = "BOSUN_BSS_URL", value_name = "URL")]
    pub bss_url: Option<String>,
    /// Configuration Framework Service [in-cluster: http://cray-cfs-api]
    #[arg(long, env = "BOSUN_CFS_URL", value_name = "URL")]
    pub cfs_url: Option<String>,
    /// Image Management Service [in-cluster: http://cray-ims]
    #[arg(long, env = "BOSUN_IMS_URL", value_name = "URL")]
    pub ims_url: Option<String>,
    /// Tenant and Partition Management Service [in-cluster: http://cray-tapms]
    #[arg(long, env = "BOSUN_TAPMS_URL", value_name = "URL")]
    pub tapms_url: Option<String>,
    /// The object store; keys come from S3_ACCESS_KEY and S3_SECRET_KEY [in-cluster: http://rgw-vip]
    #[arg(long, env = "BOSUN_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
}

impl ServiceArgs {
    /// Whether any root is given: then `dev` starts no simulator.
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// The services of a simulated machine: all at one root, the object store below it.
    pub fn of_machine(root: &str) -> Self {
        let s3_endpoint = Some(format!("{root}/s3"));
        let root = Some(root.to_owned());
        Self {
            hsm_url: root.clone(),
            pcs_url: root.clone(),
            bss_url: root.clone(),
            cfs_url: root.clone(),
            ims_url: root.clone(),
            tapms_url: root,
            s3_endpoint,
        }
    }

    /// The services, in-cluster where no root is given.
    pub fn endpoints(&self, keys: &AccessArgs) -> Endpoints {
        let cluster = Endpoints::default();
        let or = |given: &Option<String>, cluster: String| given.clone().unwrap_or(cluster);
        Endpoints {
            hsm: or(&self.hsm_url, cluster.hsm),
            pcs: or(&self.pcs_url, cluster.pcs),
            bss: or(&self.bss_url, cluster.bss),
            cfs: or(&self.cfs_url, cluster.cfs),
            ims: or(&self.ims_url, cluster.ims),
            tapms: or(&self.tapms_url, cluster.tapms),
            s3: S3Endpoint {
                url: or(&self.s3_endpoint, cluster.s3.url),
                access_key: keys.s3_access_key.clone(),
                secret_key: keys.s3_secret_key.clone(),
            },
            ca_file: keys.ca_file.clone(),
            token_file: keys.token_file.clone(),
        }
    }

    /// What tells a worker the same.
    pub fn environment(&self) -> Vec<(String, String)> {
        let roots = [
            ("BOSUN_HSM_URL", &self.hsm_url),
            ("BOSUN_PCS_URL", &self.pcs_url),
            ("BOSUN_BSS_URL", &self.bss_url),
            ("BOSUN_CFS_URL", &self.cfs_url),
            ("BOSUN_IMS_URL", &self.ims_url),
            ("BOSUN_TAPMS_URL", &self.tapms_url),
            ("BOSUN_S3_ENDPOINT", &self.s3_endpoint),
        ];
        roots.iter().filter_map(|(name, root)| Some(((*name).to_owned(), (*root).clone()?))).collect()
    }
}

/// What the services and the object store want to see of us. Workers inherit it with the environment.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Services")]
pub struct AccessArgs {
    /// The object store's access key
    #[arg(
        long,
        env = "S3_ACCESS_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub s3_access_key: String,
    /// The object store's secret key
    #[arg(
        long,
        env = "S3_SECRET_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub s3_secret_key: String,
    /// Certificates (PEM) to be trusted beside the system's
    #[arg(long, env = "BOSUN_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A file with a bearer token for a gateway; read again when it changes
    #[arg(long, env = "BOSUN_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl fmt::Debug for AccessArgs {
    /// Without the keys: what is printed ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessArgs")
            .field("ca_file", &self.ca_file)
            .field("token_file", &self.token_file)
            .finish()
    }
}

/// How PCS is set up: what may be believed of its answers depends on it.
#[derive(Args, Debug, Clone, Copy)]
#[command(next_help_heading = "Services")]
pub struct PcsArgs {
    /// How often PCS refills its table of power states
    #[arg(long, env = "BOSUN_PCS_SAMPLE_INTERVAL", default_value = "30s", value_parser = parse_duration)]
    pub pcs_sample_interval: Duration,
    /// How long PCS sleeps before each look for a confirmation
    #[arg(long, env = "BOSUN_PCS_CONFIRM_INTERVAL", default_value = "15s", value_parser = parse_duration)]
    pub pcs_confirm_interval: Duration,
    /// How long a minute of PCS' task deadlines lasts; only a simulated machine shrinks it
    #[arg(long, hide = true, env = "BOSUN_PCS_MINUTE", default_value = "60s", value_parser = parse_duration)]
    pub pcs_minute: Duration,
}

impl PcsArgs {
    /// What the clients must know.
    pub fn settings(&self) -> ServiceSettings {
        ServiceSettings {
            pcs_sample_interval: self.pcs_sample_interval,
            pcs_confirm_interval: self.pcs_confirm_interval,
            pcs_minute: self.pcs_minute,
            ..ServiceSettings::default()
        }
    }

    /// What tells a worker the same.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("BOSUN_PCS_SAMPLE_INTERVAL", self.pcs_sample_interval),
            ("BOSUN_PCS_CONFIRM_INTERVAL", self.pcs_confirm_interval),
            ("BOSUN_PCS_MINUTE", self.pcs_minute),
        ]
        .map(|(name, time)| (name.to_owned(), humantime::format_duration(time).to_string()))
        .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_root_is_enough_to_mean_real_services() {
        let given = ServiceArgs { hsm_url: Some("http://hsm".to_owned()), ..ServiceArgs::default() };
        assert!(given.is_given() && !ServiceArgs::default().is_given());
        let endpoints = given.endpoints(&AccessArgs::default());
        assert_eq!((endpoints.hsm.as_str(), endpoints.bss.as_str()), ("http://hsm", "http://cray-bss"));
        assert_eq!(given.environment(), [("BOSUN_HSM_URL".to_owned(), "http://hsm".to_owned())]);
    }
}
