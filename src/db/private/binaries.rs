//! Where the installed server binaries are, and who may run them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::PrivateError;

/// The directory that holds `initdb` and `postgres`: `$BOSUN_PG_BIN`, the path, what `pg_config` says, and where
/// distributions put them (the newest).
pub(super) fn find() -> Result<PathBuf, PrivateError> {
    if let Some(dir) = env::var_os("BOSUN_PG_BIN") {
        let dir = PathBuf::from(dir);
        return if holds_a_server(&dir) { Ok(dir) } else { Err(PrivateError::NotInstalled) };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(configured())
        .chain(packaged())
        .find(|dir| holds_a_server(dir))
        .ok_or(PrivateError::NotInstalled)
}

fn holds_a_server(dir: &Path) -> bool {
    dir.join("initdb").is_file() && dir.join("postgres").is_file()
}

fn configured() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// `/usr/lib/postgresql/15/bin` (Debian), `/usr/lib/postgresql15/bin` (SUSE), `/usr/pgsql-15/bin` (PGDG on RHEL).
fn packaged() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (root, prefix) in [("/usr/lib/postgresql", ""), ("/usr/lib", "postgresql"), ("/usr", "pgsql-")] {
        let Ok(entries) = fs::read_dir(root) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
            found.extend(version.map(|version| (version, entry.path().join("bin"))));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// Postgres refuses to run as root: then somebody else's user and group, `postgres` or else `nobody`.
pub(super) fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |wanted: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).or(Some((65_534, 65_534)))
}
