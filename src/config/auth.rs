//! Who may ask `bosun serve`, and how it proves that it is it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::admit::{ClaimNames, TokenSettings};

/// How callers are known.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// A gateway has looked at them; everybody who comes through may do everything.
    Off,
    /// By bearer tokens (JWT), checked by the keys that their issuer publishes.
    Jwt,
}

/// Who may ask for what.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Callers")]
pub struct AuthArgs {
    /// How callers are known
    #[arg(long, env = "BOSUN_AUTH", value_enum, default_value = "off")]
    pub auth: AuthMode,
    /// Where the issuer of tokens publishes its keys (JWKS)
    #[arg(long, env = "BOSUN_JWKS_URL", value_name = "URL", required_if_eq("auth", "jwt"))]
    pub jwks_url: Option<String>,
    /// The issuer of tokens (iss)
    #[arg(long, env = "BOSUN_JWT_ISSUER", value_name = "TEXT", required_if_eq("auth", "jwt"))]
    pub jwt_issuer: Option<String>,
    /// Whom tokens have to be for: one of these (aud)
    #[arg(
        long,
        env = "BOSUN_JWT_AUDIENCE",
        value_name = "TEXT,…",
        value_delimiter = ',',
        required_if_eq("auth", "jwt")
    )]
    pub jwt_audience: Vec<String>,
    /// By which algorithms tokens may be signed
    #[arg(
        long,
        env = "BOSUN_JWT_ALGORITHMS",
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "RS256,ES256"
    )]
    pub jwt_algorithms: Vec<String>,
    /// The claim with the roles, or the way to it, as realm_access.roles
    #[arg(long, env = "BOSUN_JWT_ROLES_CLAIM", value_name = "CLAIM", default_value = "roles")]
    pub jwt_roles_claim: String,
    /// What stands there for those who may look
    #[arg(
        long,
        env = "BOSUN_JWT_VIEW_ROLES",
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "bosun-view"
    )]
    pub jwt_view_roles: Vec<String>,
    /// What stands there for those who may run sessions
    #[arg(
        long,
        env = "BOSUN_JWT_OPERATE_ROLES",
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "bosun-operate"
    )]
    pub jwt_operate_roles: Vec<String>,
    /// What stands there for those who may do everything
    #[arg(
        long,
        env = "BOSUN_JWT_ADMIN_ROLES",
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "bosun-admin"
    )]
    pub jwt_admin_roles: Vec<String>,
    /// The claim with the tenant that a token is bound to
    #[arg(long, env = "BOSUN_JWT_TENANT_CLAIM", value_name = "CLAIM", default_value = "tenant")]
    pub jwt_tenant_claim: String,
    /// Nodes report what they booted without a token
    #[arg(long, env = "BOSUN_OPEN_REPORTS")]
    pub open_reports: bool,
    /// The server's certificate with its chain (PEM): serves TLS; read again when it changes
    #[arg(long, env = "BOSUN_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, env = "BOSUN_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
}

impl AuthArgs {
    /// Nobody is asked who they are, in the clear: behind a gateway, and on one's own machine.
    pub fn off() -> Self {
        Self {
            auth: AuthMode::Off,
            jwks_url: None,
            jwt_issuer: None,
            jwt_audience: Vec::new(),
            jwt_algorithms: vec!["RS256".to_owned(), "ES256".to_owned()],
            jwt_roles_claim: "roles".to_owned(),
            jwt_view_roles: vec!["bosun-view".to_owned()],
            jwt_operate_roles: vec!["bosun-operate".to_owned()],
            jwt_admin_roles: vec!["bosun-admin".to_owned()],
            jwt_tenant_claim: "tenant".to_owned(),
            open_reports: false,
            tls_certificate: None,
            tls_key: None,
        }
    }

    /// Which tokens are believed; none: callers are not asked for one.
    pub fn tokens(&self, ca_file: Option<PathBuf>) -> Option<TokenSettings> {
        (self.auth == AuthMode::Jwt).then(|| TokenSettings {
            jwks_url: self.jwks_url.clone().unwrap_or_default(),
            issuer: self.jwt_issuer.clone().unwrap_or_default(),
            audience: self.jwt_audience.clone(),
            algorithms: self.jwt_algorithms.clone(),
            claims: ClaimNames {
                roles: self.jwt_roles_claim.clone(),
                view: self.jwt_view_roles.clone(),
                operate: self.jwt_operate_roles.clone(),
                admin: self.jwt_admin_roles.clone(),
                tenant: self.jwt_tenant_claim.clone(),
            },
            ca_file,
        })
    }
}
