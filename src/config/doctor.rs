//! `bosun doctor`.

use clap::Args;

use super::{
    serve::{DatabaseArgs, LauncherArgs},
    services::{AccessArgs, PcsArgs, ServiceArgs},
};
use crate::cli;

/// `bosun doctor`
#[derive(Args, Debug, Clone)]
pub struct DoctorArgs {
    /// How the findings are printed
    #[command(flatten)]
    pub output: cli::output::ListOutputArgs,
    /// A bosun that serves: whether it answers, and is of this version
    #[arg(long, env = "BOSUN_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The database
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How sessions get their workers
    #[command(flatten)]
    pub launcher: LauncherArgs,
    /// The services
    #[command(flatten)]
    pub services: ServiceArgs,
    /// Keys and certificates
    #[command(flatten)]
    pub access: AccessArgs,
    /// How PCS is set up
    #[command(flatten)]
    pub pcs: PcsArgs,
}
