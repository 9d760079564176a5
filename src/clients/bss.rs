//! Boot Script Service (`/boot/v1`): what nodes boot.

use reqwest::Method;
use serde::Serialize;

use super::{
    ClientError, fixed_path,
    http::{Http, Reply},
};
use crate::model::artifacts::{BootArtifacts, BootToken};

/// The client.
#[derive(Debug)]
pub struct Bss {
    http: Http,
}

#[derive(Serialize)]
struct PutWire<'a> {
    hosts: &'a [String],
    params: &'a str,
    kernel: &'a str,
    initrd: &'a str,
}

impl Bss {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    /// Replaces the whole record of these hosts (their cloud-init data too, as BOS does). The token is new at every
    /// call, and the last one counts; a GET never shows it. BSS validates nothing.
    ///
    /// # Errors
    /// Beside the usual ones: `Refused` with status 200 where the answer brings no token, for without it no report can be judged.
    pub async fn put_boot_parameters(
        &self,
        hosts: &[String],
        artifacts: &BootArtifacts,
    ) -> Result<BootToken, ClientError> {
        let body = PutWire {
            hosts,
            params: &artifacts.kernel_parameters,
            kernel: &artifacts.kernel,
            initrd: &artifacts.initrd,
        };
        let answer = self.http.write(Method::PUT, &["boot", "v1", "bootparameters"], Some(&body)).await;
        let reply = fixed_path(answer)?;
        match reply.header("bss-referral-token") {
            Some(token) if !token.is_empty() => Ok(BootToken(token.to_owned())),
            _ => Err(ClientError::Refused {
                service: self.http.service(),
                status: 200,
                text: "BSS took the boot parameters but gave no BSS-Referral-Token; is something between us and it \
                       dropping headers?"
                    .to_owned(),
            }),
        }
    }

    /// Where it is.
    pub(super) fn root(&self) -> &str {
        self.http.root().as_str()
    }

    /// Whether BSS is well.
    pub(super) async fn ready(&self) -> Result<Reply, ClientError> {
        self.http.get(&["boot", "v1", "service", "status"], &[]).await
    }
}
